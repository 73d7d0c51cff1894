"""The command: what it refuses, and one whole run on the CPU with a few runs of each candidate."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

import rnnx
from rnnx.benchmarks.bench import bench, candidates, peers
from rnnx.benchmarks.bench.bench import plan_bench, run_bench
from rnnx.benchmarks.bench.request import Origin, Request
from rnnx.benchmarks.bench.schedule import Pace
from rnnx.bundle import Bundle, golden_bytes, write_manifest
from rnnx.cli.main import main
from rnnx.exporters import counting
from rnnx.signature import AxisRange

FEW = ["--seconds", "0.001", "--no-resources", "--no-roofline", "--threads", "1", "--time", "1,3"]
PACE = Pace(seconds=0.001, fewest_rounds=3, warm_seconds=0.005, turn_seconds=0.0005)


def invoke(*arguments):
    return CliRunner().invoke(main, ["bench", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "nosuch"], "--peers 'nosuch' is not known. Allowed are 'torch', 'torch-compile', 'torchscript'"),
        (["--mode", "sideways"], "--mode 'sideways' is not known. Allowed are 'offline', 'streaming'"),
        (["--provider", "nosuch"], "provider 'nosuch' is not known. Allowed are 'auto', 'cpu', 'cuda', 'tensorrt'"),
        (["--provider", "auto"], "a benchmark must know what it measures. Name the providers: 'cpu', 'cuda'"),
        (["--precision", "int8"], "has no variant 'int8-offline'; it has 'fp32-offline', 'fp32-streaming'"),
        (["--peers", "torch"], "the peer 'torch' runs the PyTorch model itself, which the bundle does not hold"),
        (["--reference", "torch"], "--reference 'torch' is not measured here. Allowed are 'rnnx fp32'"),
        (["--seconds", "0"], "--seconds is 0; it must be above 0"),
        (["--size", "source=3"], "--size names the axis 'source'; other dynamic axes than batch and time are none"),
        (["--json", "no/such/folder.json"], "cannot write 'no/such/folder.json': the folder"),
        (["--html", "."], "cannot write '.': a folder stands there. Choose another name."),
        (["--compare", "absent.json"], "'absent.json' cannot be read as a benchmark's JSON"),
        (["--data", "absent.npz"], "'absent.npz' does not exist"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(tiny, monkeypatch, arguments, said):
    monkeypatch.setattr(bench, "measure_cell", lambda *_, **__: pytest.fail("something was measured"))
    done = invoke(tiny.bundle, *arguments)
    assert done.exit_code == 1, done.output
    assert said in done.output


def test_a_provider_that_is_not_there_is_refused(tiny, monkeypatch):
    from rnnx.benchmarks.bench import request
    from rnnx.runtime.providers import Obstacle

    found = Obstacle(why="libfake.so is missing", mend="Install it", command="")
    monkeypatch.setattr(request, "obstacle", lambda _, name: found if name == "cuda" else None)
    done = invoke(tiny.bundle, "--provider", "cpu,cuda")
    assert done.exit_code == 1
    assert "provider 'cuda' is not usable here: libfake.so is missing. Install it, or leave it out" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch", "0"], "'0' must be a whole number from 1, or several with commas: 1,16"),
        (["--time", "1,x"], "'1,x' must be a whole number from 1"),
        (["--threads", "1,,2"], "'1,,2' must be a whole number from 1"),
        (["--peers", "torch,"], "'torch,' has an empty name"),
        (["--frame-period", "10"], "'10' must be a number and us, ms or s: 10ms"),
        (["--checkpoint", "w.pt"], "describe a source: give --source too"),
        (["--threshold", "5%"], "--threshold is for --compare"),
        (["--threshold", "much", "--compare", "x.json"], "'much' must be a share from 0, such as 5%"),
        (["--size", "source"], "'source' must be AXIS=SIZE"),
    ],
)
def test_wrong_usage(tiny, arguments, said):
    done = invoke(tiny.bundle, *arguments)
    assert done.exit_code in {1, 2}
    assert said in done.output


def test_a_request_is_checked_without_the_command_too(tiny):
    for changes, said in (
        ({"batches": (0,)}, "--batch is 0"),
        ({"times": (1.5,)}, "--time is 1.5"),
        ({"threads": (-1,)}, "--threads is -1"),
        ({"frame_period_ms": 0.0}, "--frame-period is 0 ms"),
    ):
        with pytest.raises(ValueError, match=said):
            plan_bench(Request(origin=Origin(bundle=tiny.bundle), **changes))


def test_a_whole_run(tiny, tmp_path):
    """Every peer that is here, both modes, the JSON, the page, and a comparison with itself."""
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32))
    first, second, html = (tmp_path / name for name in ("1.json", "2.json", "out.html"))
    arguments = [tiny.bundle, *FEW, "--mode", "offline,streaming", "--batch", "2", "--peers", "torch,onnxruntime"]
    arguments += ["--source", tiny.source, "--checkpoint", tiny.checkpoint, "--data", str(tmp_path / "data.npz")]
    arguments += ["--frame-period", "10ms"]
    done = invoke(*arguments, "--json", str(first), "--html", str(html))
    assert done.exit_code == 0, done.output + repr(done.exception)
    data = json.loads(first.read_text())
    names = ["rnnx fp32", "torch", "onnxruntime"]
    assert [row["candidate"] for row in data["rows"]] == names * 4
    assert [(row["mode"], row["time"]) for row in data["rows"][::3]] == [
        ("offline", 1),
        ("offline", 3),
        ("streaming", 1),
        ("streaming", 3),
    ]
    for row in data["rows"]:
        assert row["agreement"]["agrees"], row
        assert row["latency_ms"]["p50"] > 0
        assert row["sequences_per_s"] == pytest.approx(2000 / row["latency_ms"]["p50"])
        assert row["frames_per_s"] == pytest.approx(row["time"] * row["sequences_per_s"])
        assert row["real_time_factor"] == pytest.approx(row["latency_ms"]["p50"] / (10 * row["time"]))
        assert row["is_reference"] == (row["candidate"] == "onnxruntime")
        assert row["roofline"] is None
    assert data["skipped"] == []
    assert "onnxruntime  " in done.stdout
    assert html.read_text().startswith("<!DOCTYPE html>")
    # Against itself, with a threshold that no noise of a few runs reaches.
    done = invoke(*arguments, "--json", str(second), "--compare", str(first), "--threshold", "900%")
    assert done.exit_code == 0, done.output
    assert "4 rows compared, none slower beyond noise." in done.stdout
    for row in data["rows"]:
        if row["engine"] == "rnnx":  # it was a hundred times as fast once
            row["rounds_ms"] = [one / 100 for one in row["rounds_ms"]]
    first.write_text(json.dumps(data))
    done = invoke(*arguments, "--compare", str(first), "--threshold", "900%", "--json", "-")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["comparison"]["passed"] is False


def test_without_torch_and_onnx_a_bundle_is_measured_all_the_same(tiny):
    """All that a machine has that runs bundles: the modules of the extra 'export' cannot be imported here."""
    code = f"""
import sys
for name in ("torch", "onnx", "onnx_ir", "onnxscript", "onnxsim"):
    sys.modules[name] = None
from rnnx.bundle import Bundle, write_manifest
from rnnx.cli.main import main
main(["bench", {tiny.bundle!r}, *{FEW!r}, "--peers", "onnxruntime", "--json", "-"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["rows"]) == 4


def test_a_roofline_says_what_it_needs(tiny, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = invoke(tiny.bundle)
    assert done.exit_code == 1
    assert "Run: pip install 'rnnx[export]', or leave the machine's limits out with --no-roofline" in done.output


def request(tiny, **changes):
    origin = Origin(bundle=tiny.bundle, source=tiny.source, checkpoint=tiny.checkpoint)
    base = Request(origin=origin, times=(3,), threads=(1,), resources=False, roofline=False)
    return replace(base, **changes)


def test_peers_that_compile_give_the_same_answers(tiny):
    plan = plan_bench(request(tiny, peers=("torchscript",)))
    report = run_bench(plan, pace=PACE)
    assert report.skipped == ()
    script = report.rows[1]
    assert (script.spec.engine, script.note, script.agreement.agrees) == ("torchscript", "scripted", True)


def test_resources_and_roofline_are_told_for_each_candidate(tiny, build, monkeypatch):
    (ceilings,) = build.report([]).ceilings
    monkeypatch.setattr(bench, "measure_ceilings", lambda _: ceilings)
    told = []
    plan = plan_bench(request(tiny, peers=("onnxruntime",), resources=True, roofline=True))
    report = run_bench(plan, told.append, pace=PACE)
    assert len(told) == plan.steps == 1 + 1 + 2
    for row in report.rows:
        # 3 steps of an LSTM of 4 over 3 features, and a product of 4 by 2.
        assert row.roofline.float_ops == 3 * (2 * 16 * 7 + 2 * 8)
        assert row.roofline.fraction == pytest.approx(row.roofline.least_ms / row.latency.p50)
    assert [one.spec.name for one in report.resources] == ["rnnx fp32", "onnxruntime"]
    file = plan.bundle.variant("fp32", "offline").file
    for one in report.resources:
        assert one.resources.disk_bytes == plan.bundle.manifest.files[file].size_bytes
        assert 0 < one.resources.own_mib < one.resources.resident_mib <= one.resources.peak_mib
        assert min(one.resources.import_ms, one.resources.load_ms, one.resources.first_ms) > 0


def test_a_peer_that_is_not_installed_is_skipped_and_named(tiny, monkeypatch):
    monkeypatch.setattr(peers, "_OPENVINO", "no_such_module_at_all")
    report = run_bench(plan_bench(request(tiny, peers=("openvino",))), pace=PACE)
    (skipped,) = report.skipped
    assert (skipped.candidate, skipped.failed) == ("openvino", False)
    assert skipped.reason.endswith("Run: pip install openvino")
    assert report.passed


class Fake:
    """A candidate whose answer is as far off as it is told."""

    note = ""

    def __init__(self, spec, error=0.0, fails=""):
        self.spec, self.error, self.fails, self.closed = spec, error, fails, False

    def prepare(self, inputs):
        if self.fails:
            raise RuntimeError(self.fails)
        answer = {"scores": np.full((1, 3, 2), 1 + self.error, np.float32)}
        return candidates.Prepared(call=lambda: None, outputs=lambda: answer)

    def close(self):
        self.closed = True


@pytest.fixture
def faked(monkeypatch):
    """Candidates that are made by the test, by the name of their engine."""
    made = {}

    def install(**engines):
        def opened(spec, origin):
            made[spec.engine] = Fake(spec, **engines[spec.engine])
            return made[spec.engine]

        monkeypatch.setattr(bench, "open_candidate", opened)
        return made

    return install


def test_a_variant_that_may_choose_otherwise_is_held_to_its_own_golden_vectors(tiny, tmp_path):
    path = shutil.copytree(tiny.bundle, tmp_path / "tiny.rnnx")
    bundle = Bundle.open(path)
    model = onnx.load(path / "fp32-offline.onnx")
    for one in model.graph.initializer:
        if one.data_type == onnx.TensorProto.FLOAT:
            one.CopyFrom(numpy_helper.from_array(1.5 * numpy_helper.to_array(one), one.name))
    onnx.save(model, path / "int8-offline.onnx")
    (path / "own.npz").write_bytes(golden_bytes([]))
    other = replace(bundle.variant(), precision="int8", file="int8-offline.onnx", golden="own.npz")
    write_manifest(path, replace(bundle.manifest, variants=(*bundle.manifest.variants, other)))
    plan = request(replace(tiny, bundle=str(path)), precisions=("fp32", "int8"))
    report = run_bench(plan_bench(plan), pace=PACE)
    assert [row.agreement.agrees for row in report.rows] == [True, False]
    with rnnx.load(path, precision="int8") as session:
        own = [replace(case, outputs=session.run(case.inputs)) for case in bundle.golden()]
    (path / "own.npz").write_bytes(golden_bytes(own))
    write_manifest(path, Bundle.open(path).manifest)
    report = run_bench(plan_bench(plan), pace=PACE)
    assert report.passed
    assert report.rows[1].agreement.max_abs_diff > report.rows[1].agreement.allowed
    assert [row.note for row in report.rows] == [
        "", "may choose otherwise than fp32; held to golden vectors of its own"
    ]  # fmt: skip


def test_a_candidate_that_is_wrong_is_seen(tiny, faked):
    made = faked(rnnx={"error": 0.01}, onnxruntime={}, openvino={"error": 1e-7})
    report = run_bench(plan_bench(request(tiny, peers=("onnxruntime", "openvino"))), pace=PACE)
    assert [row.agreement.agrees for row in report.rows] == [False, True, True]
    assert report.rows[0].agreement.max_abs_diff == pytest.approx(0.01, rel=1e-3)
    assert not report.passed
    assert all(one.closed for one in made.values())


def test_a_peer_that_fails_is_skipped_and_a_variant_that_fails_is_a_failure(tiny, faked):
    faked(rnnx={}, openvino={"fails": "no kernel\nand more"})
    report = run_bench(plan_bench(request(tiny, peers=("openvino",))), pace=PACE)
    (skipped,) = report.skipped
    assert (skipped.reason, skipped.failed, skipped.where) == ("no kernel", False, "offline, 1 thread, batch 1, time 3")
    assert report.passed
    faked(rnnx={"fails": "broken"}, openvino={})
    assert not run_bench(plan_bench(request(tiny, peers=("openvino",))), pace=PACE).passed


def test_a_form_for_single_frames_is_skipped_in_longer_chunks(tiny, faked, tmp_path):
    path = shutil.copytree(tiny.bundle, tmp_path / "tiny.rnnx")
    manifest = Bundle.open(path).manifest
    plain = Bundle.open(path).variant("fp32", "streaming")
    single = replace(plain.signature, ranges=(AxisRange(name="time", minimum=1, maximum=1),))
    made = replace(plain, form="step", signature=single)
    write_manifest(path, replace(manifest, variants=(*manifest.variants, made)))
    faked(rnnx={})
    asked = replace(request(tiny), origin=Origin(bundle=str(path)), modes=("streaming",), times=(1, 3))
    report = run_bench(plan_bench(asked), pace=PACE)
    assert [(row.spec.form, row.cell.time) for row in report.rows] == [("", 1), ("step", 1), ("", 3)]
    (skipped,) = report.skipped
    assert (skipped.candidate, skipped.reason) == ("rnnx fp32 step", "its graph takes 1 <= time <= 1, not 3")
    assert report.passed


def test_another_reference_is_never_taken_without_a_word(tiny, faked):
    faked(rnnx={}, openvino={"fails": "no kernel"})
    report = run_bench(plan_bench(request(tiny, peers=("openvino",), reference="openvino")), pace=PACE)
    assert [one.reason for one in report.skipped] == ["no kernel", "ratios are told against 'rnnx fp32' here instead"]
    assert report.rows[0].is_reference


def test_what_cannot_be_counted_is_told_and_the_rest_goes_on(tiny, build, monkeypatch):
    from rnnx.errors import ModelFileError

    def refuse(*_):
        raise ModelFileError("too large\nfor this")

    monkeypatch.setattr(counting, "count", refuse)
    (ceilings,) = build.report([]).ceilings
    monkeypatch.setattr(bench, "measure_ceilings", lambda _: ceilings)
    report = run_bench(plan_bench(request(tiny, roofline=True)), pace=PACE)
    assert report.rows[0].roofline is None
    assert [one.reason for one in report.skipped] == ["no roofline: too large"]
    assert report.passed
