"""``rnnx tune`` from end to end on a tiny bundle: what it refuses, what it keeps, and that it is used."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rnnx
from rnnx.benchmarks.tune import tune as tune_module
from rnnx.benchmarks.tune.losses import MaxLoss, losses, measured_sqnr
from rnnx.benchmarks.tune.report import TuneRequest
from rnnx.benchmarks.tune.sessions import SessionBench
from rnnx.benchmarks.tune.setups import Setup
from rnnx.benchmarks.tune.tune import tune
from rnnx.bundle import Bundle, GoldenCase, golden_bytes, write_manifest
from rnnx.cli.main import main
from rnnx.errors import BudgetError, BundleError, InputError, LoweringError, SessionError
from rnnx.exporters import export
from rnnx.manifest import GOLDEN, MANIFEST, Tolerance
from rnnx.precision import Quantization
from rnnx.runtime.machine import cores, cpu
from rnnx.signature import AxisRange

FEW = ["--seconds", "0.02", "--threads", "1"]


def invoke(*arguments):
    return CliRunner().invoke(main, ["tune", *map(str, arguments)])


@pytest.fixture
def path(tiny, tmp_path):
    """A bundle of one's own: what is tuned is kept in it."""
    return Path(shutil.copytree(tiny.bundle, tmp_path / "tiny.rnnx"))


def add(path, precision, *, form="", quantization=None, graph=None, tolerance=None, mode="offline"):
    """Give a bundle another variant: the fp32 graph, or a file's."""
    bundle = Bundle.open(path)
    plain = bundle.variant("fp32", mode)
    one = replace(
        plain, precision=precision, form=form, file=f"{precision}-{mode}-{form}.onnx", quantization=quantization
    )
    one = replace(one, tolerance=tolerance or one.tolerance)
    shutil.copy(graph or path / plain.file, path / one.file)
    write_manifest(path, replace(bundle.manifest, variants=(*bundle.manifest.variants, one)))
    return one


SPEEDS = {("fp32", ""): 100, ("fp32", "scan"): 80, ("int8", ""): 50}


class FakeBench:
    """Whatever the setups are called, with durations by precision and form."""

    def __init__(self, bundle, **options):
        type(self).made = options

    def obstacle(self, setup):
        return ""

    def measure(self, setups, seconds):
        return {one: [(1000 * SPEEDS[one.precision, one.form],) * 3] * 5 for one in setups}


def fake_tune(path, tell=lambda _: None, **changes):
    request = TuneRequest(**({"bundle": str(path), "objective": "p99", "threads": (1,)} | changes))
    return tune(request, tell, make_bench=FakeBench)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--objective", "p42"], 2, "'p42' is not one of 'p50', 'p99', 'throughput'"),
        (["--batch", "0"], 2, "0 is not in the range x>=1"),
        (["--mode", "sideways"], 2, "'sideways' is not one of 'offline', 'streaming'"),
        (["--threads", "0"], 2, "'0' must be a whole number from 1"),
        (["--max-loss", "lots"], 1, "--max-loss is 'lots'; it must be a share below 1, such as 0.5% or 0.005, or"),
        (["--provider", "nosuch"], 1, "provider 'nosuch' is not known. Allowed are 'auto', 'cpu', 'cuda', 'tensorrt'"),
        (["--precision", "int8"], 1, "has no variant 'int8-offline'; it has 'fp32-offline', 'fp32-streaming'"),
        (["--size", "source=3"], 1, "--size names the axis 'source'"),
        (["--size", "source"], 2, "'source' must be AXIS=SIZE"),
        (["--seconds", "0"], 1, "--seconds is 0; it must be above 0"),
        (["--data", "absent.npz"], 1, "'absent.npz' does not exist"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_measured(tiny, monkeypatch, arguments, code, said):
    monkeypatch.setattr(SessionBench, "measure", lambda *_: pytest.fail("something was measured"))
    done = invoke(tiny.bundle, *arguments)
    assert done.exit_code == code, done.output
    assert said in done.output


def test_streaming_needs_a_streaming_variant(path, monkeypatch):
    monkeypatch.setattr(SessionBench, "measure", lambda *_: pytest.fail("something was measured"))
    bundle = Bundle.open(path)
    write_manifest(path, replace(bundle.manifest, variants=(bundle.variant(),)))
    done = invoke(path, "--mode", "streaming")
    assert done.exit_code == 1
    assert "has no variant of the mode 'streaming'; it has 'fp32-offline'" in done.output
    assert "is not a bundle" in invoke(path / "absent").output or "does not exist" in invoke(path / "absent").output


def test_a_bundle_that_cannot_be_written_to_is_refused_at_once(path, monkeypatch):
    monkeypatch.setattr(tune_module.os, "access", lambda *_: False)
    with pytest.raises(BundleError, match=r"cannot be written to \(no permission\), .* or look only: --dry-run"):
        fake_tune(path)
    assert not fake_tune(path, dry_run=True).kept


def test_a_form_that_wins_joins_the_bundle_and_no_other_does(path, monkeypatch):
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    assert fake_tune(path, forms=True, dry_run=True).entry.form == "scan"
    monkeypatch.setitem(SPEEDS, ("fp32", "scan"), 200)
    assert fake_tune(path, forms=True, dry_run=True).is_default
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before
    monkeypatch.setitem(SPEEDS, ("fp32", "scan"), 50)
    assert "fp32-offline-scan" not in {one.key for one in Bundle.open(path).manifest.variants}
    report = fake_tune(path, forms=True)
    assert (report.kept, report.entry.form, report.bundle["path"]) == (True, "scan", str(path))
    with rnnx.load(path, tuned=True) as session:
        assert session.variant.key == "fp32-offline-scan"


def test_a_bundle_without_other_forms_is_tuned_as_it_is(path, monkeypatch):
    def refuse(*_, **__):
        raise LoweringError("no layer has another form.")

    monkeypatch.setattr("rnnx.exporters.forms.add_forms", refuse)
    told = []
    assert fake_tune(path, told.append, forms=True).is_default
    assert "no other form: no layer has another form." in told


def test_what_is_best_is_kept_and_used(path):
    add(path, "int8")
    before = (path / MANIFEST).read_bytes()
    dry = fake_tune(path, dry_run=True)
    assert (path / MANIFEST).read_bytes() == before
    assert (dry.kept, dry.entry.precision) == (False, "int8")
    report = fake_tune(path, batch=2, time=7)
    entry = report.entry
    assert (entry.precision, entry.threads, entry.label, entry.mode) == ("int8", 1, "p99 2x7", "offline")
    assert (entry.cpu, entry.cores) == (cpu(), cores())
    assert (entry.measured.tuned, entry.measured.default, entry.measured.ratio) == pytest.approx((0.05, 0.1, 2.0))
    assert FakeBench.made["inputs"]["x"].shape == (2, 7, 3)
    assert Bundle.open(path).manifest.tuned == (entry,)
    with rnnx.load(path, tuned=True) as session:
        assert session.variant.key == "int8-offline"
    again = fake_tune(path, batch=2, time=7, precisions=("fp32",))
    assert again.is_default
    assert Bundle.open(path).manifest.tuned == (again.entry,)
    assert "nothing beat the default beyond noise: fp32 as rnnx.load(path) has it (0.1 ms)" in again.summary


def test_a_form_is_a_candidate(path):
    add(path, "fp32", form="scan")
    report = fake_tune(path, objective="throughput", batch=4)
    assert (report.entry.precision, report.entry.form) == ("fp32", "scan")
    assert report.entry.measured.tuned == pytest.approx(4 / 80e-6)
    assert "fp32 scan, 1 thread: 5e+04 sequences/s, the default 4e+04, 1.25 times better [1.25, 1.25]" in report.summary
    with rnnx.load(path, tuned=True) as session:
        assert session.variant.key == "fp32-offline-scan"


def test_a_form_for_single_frames_is_left_out_of_longer_chunks(path, monkeypatch):
    monkeypatch.setitem(SPEEDS, ("fp32", "step"), 10)
    made = add(path, "fp32", form="step", mode="streaming")
    manifest = Bundle.open(path).manifest
    single = replace(made.signature, ranges=(AxisRange(name="time", minimum=1, maximum=1),))
    variants = tuple(replace(one, signature=single) if one.key == made.key else one for one in manifest.variants)
    write_manifest(path, replace(manifest, variants=variants))
    told = []
    report = fake_tune(path, told.append, mode="streaming", time=4)
    assert report.is_default
    assert {row.setup.form for row in report.rows} == {""}
    assert "'fp32-streaming-step' is left out: its graph takes 1 <= time <= 1, not 4" in told
    assert fake_tune(path, mode="streaming", time=1).entry.form == "step"


def test_forms_are_made_for_what_is_tuned(path, monkeypatch):
    asked = []

    def refuse(_, **options):
        asked.append(options)
        raise LoweringError("none.")

    monkeypatch.setattr("rnnx.exporters.forms.add_forms", refuse)
    fake_tune(path, forms=True, mode="streaming", time=4)
    fake_tune(path, forms=True, mode="streaming", time=1, precisions=("fp32",))
    assert [(one["mode"], one["forms"], one["precisions"]) for one in asked] == [
        ("streaming", ["scan"], None),
        ("streaming", ["scan", "step"], ("fp32",)),
    ]


def test_a_bundle_that_changes_meanwhile_is_left_alone(path):
    class Meddling(FakeBench):
        def measure(self, setups, seconds):
            data = json.loads((path / MANIFEST).read_bytes())
            (path / MANIFEST).write_text(json.dumps(data | {"notes": ["Changed."]}), encoding="utf-8")
            return super().measure(setups, seconds)

    with pytest.raises(BundleError, match="was changed while it was tuned, so nothing is kept"):
        tune(TuneRequest(bundle=str(path), objective="p50"), make_bench=Meddling)
    assert Bundle.open(path).manifest.tuned == ()


def test_nothing_is_kept_of_a_machine_that_is_too_busy(path, monkeypatch):
    class Busy(FakeBench):
        def measure(self, setups, seconds):
            found = super().measure(setups, seconds)
            return {one: [(150_000,) * 3] * 5 if one.again else rounds for one, rounds in found.items()}

    report = tune(TuneRequest(bundle=str(path), objective="p50", threads=(1,)), make_bench=Busy)
    assert (report.is_default, report.disturbed, report.kept) == (True, True, False)
    assert "not kept: two equal sessions differ by 50%, so other processes decide here" in report.summary
    assert Bundle.open(path).manifest.tuned == ()
    monkeypatch.setattr(tune_module, "tune", lambda *_: report)
    done = invoke(path)
    assert done.exit_code == 1
    assert "Tune again when the machine is quiet" in done.output
    # What is faster than such a noise is faster all the same.
    add(path, "int8")
    monkeypatch.setitem(SPEEDS, ("int8", ""), 40)
    assert tune(TuneRequest(bundle=str(path), objective="p50"), make_bench=Busy).kept


def test_the_default_must_be_right(path):
    class Wrong(FakeBench):
        def obstacle(self, setup):
            return "refused: 'y' of golden case 0 is off"

    with pytest.raises(
        SessionError, match=r"the default of bundle .* does not run here: refused: 'y' of golden case 0"
    ):
        tune(TuneRequest(bundle=str(path), objective="p50"), make_bench=Wrong)


@pytest.mark.parametrize(
    ("text", "share", "sqnr_db"),
    [("0.5%", 0.005, None), ("0.005", 0.005, None), ("0", 0.0, None), ("30dB", None, 30.0), (" 45.5 db ", None, 45.5)],
)
def test_the_largest_loss_is_read(text, share, sqnr_db):
    found = MaxLoss.parse(text)
    assert (found.share, found.sqnr_db) == (pytest.approx(share) if share is not None else None, sqnr_db)


@pytest.mark.parametrize("text", ["", "lots", "-1%", "100%", "1", "0dB", "nan", "inf", "5 percent", "0.5%%", "1e999"])
def test_nonsense_is_no_largest_loss(text):
    with pytest.raises(InputError, match=r"it must be a share below 1, such as 0\.5% or 0\.005, or the least signal"):
        MaxLoss.parse(text)


@pytest.fixture(scope="module")
def other(tiny, tmp_path_factory):
    """The graph of the same model with weights that are a little off."""
    import torch

    module = rnnx.exporters.load_source(tiny.source).module
    with torch.no_grad():
        for one in module.parameters():
            one.mul_(1.01)
    folder = tmp_path_factory.mktemp("other") / "other.rnnx"
    export(module, inputs={"x": "float32[batch, time, 3]"}, out=folder)
    return Bundle.open(folder)


def test_a_recorded_metric_is_what_a_share_is_held_against(path):
    made = Quantization(budget="metric", limit=0.01, loss=0.004, data="held out", metric="accuracy")
    one = add(path, "int8", quantization=made)
    bundle = Bundle.open(path)
    for text, allowed in (("0.5%", True), ("0.004", True), ("0.3%", False)):
        found = losses(bundle, [one], MaxLoss.parse(text), provider="cpu", cases=[])["int8-offline"]
        assert (found.text, found.allowed) == ("0.004 accuracy (recorded)", allowed)
    report = fake_tune(path, max_loss=MaxLoss.parse("0.3%"))
    assert report.is_default
    refused = next(one for one in report.rows if one.setup.precision == "int8")
    assert (refused.verdict, refused.loss) == ("refused: it loses more than 0.3%", "0.004 accuracy (recorded)")
    assert fake_tune(path, max_loss=MaxLoss.parse("0.5%")).entry.max_loss == "0.5%"


@pytest.mark.parametrize("mode", ["offline", "streaming"])
def test_without_a_metric_the_relative_error_is_measured(path, other, mode):
    recorded = Quantization(budget="sqnr", limit=30, loss=99, data="golden")
    one = add(path, "int8", graph=other.path / other.variant(mode=mode).file, quantization=recorded, mode=mode)
    bundle = Bundle.open(path)
    cases = bundle.golden()
    with rnnx.load(path) as plain, rnnx.load(other.path) as off:
        pairs = [(plain.run(case.inputs)["scores"], off.run(case.inputs)["scores"]) for case in cases]
    lost = sum(float(((a - b).astype(np.float64) ** 2).sum()) for a, b in pairs)
    share = math.sqrt(lost / sum(float((a.astype(np.float64) ** 2).sum()) for a, _ in pairs))
    assert 0.005 < share < 0.1
    assert measured_sqnr(bundle, one, provider="cpu", cases=cases) == pytest.approx(-20 * math.log10(share), abs=1e-3)
    for limit, allowed in ((share * 1.01, True), (share * 0.99, False)):
        found = losses(bundle, [one], MaxLoss.parse(f"{limit:.6f}"), provider="cpu", cases=cases)[one.key]
        assert found.allowed is allowed
        assert found.text.startswith(f"{share:.2%} of the outputs")
    for decibels, allowed in ((-20 * math.log10(share) - 0.1, True), (-20 * math.log10(share) + 0.1, False)):
        assert (
            losses(bundle, [one], MaxLoss.parse(f"{decibels:.3f}dB"), provider="cpu", cases=cases)[one.key].allowed
            is allowed
        )
    # Without a limit nothing is measured: what it was made within is enough.
    assert losses(bundle, [one], None, provider="cpu", cases=[])[one.key].text == "99 dB (recorded)"


def test_a_loss_is_measured_on_data(path, other, monkeypatch):
    add(path, "int8", graph=other.path / other.variant().file)
    x = np.random.default_rng(3).normal(size=(4, 9, 3)).astype(np.float32)
    with rnnx.load(path) as plain, rnnx.load(other.path) as off:
        a, b = (one.run({"x": x})["scores"].astype(np.float64) for one in (plain, off))
    share = math.sqrt(((a - b) ** 2).sum() / (a**2).sum())
    report = fake_tune(path, data={"x": x}, max_loss=MaxLoss.parse(f"{share * 1.001:.8f}"), dry_run=True)
    assert report.entry.precision == "int8"
    assert fake_tune(path, data={"x": x}, max_loss=MaxLoss.parse(f"{share * 0.999:.8f}"), dry_run=True).is_default
    with pytest.raises(InputError, match="the data holds 'z', which is no input"):
        fake_tune(path, data={"z": x})


def test_a_loss_that_cannot_be_measured_is_an_error(path):
    one = add(path, "int8")
    with pytest.raises(BudgetError, match=r"what 'int8-offline' loses cannot be measured: the 0 cases .* Give --data"):
        losses(Bundle.open(path), [one], MaxLoss.parse("1%"), provider="cpu", cases=[])


def test_answers_that_are_off_are_refused(path, other):
    """A real session that gives other answers than the golden vectors cannot win, however fast it is."""
    add(path, "int8", graph=other.path / other.variant().file)
    add(path, "fp16", graph=other.path / other.variant().file, tolerance=Tolerance(atol=0.5, floor=1.0))
    bundle = Bundle.open(path)
    bench = SessionBench(bundle, provider="cpu", mode="offline", inputs={"x": np.zeros((1, 1, 3), np.float32)},
                         objective="p50", seed=0)  # fmt: skip
    assert bench.obstacle(Setup(precision="fp32", threads=1)) == ""
    assert "refused: 'scores' of golden case 0 is off by" in bench.obstacle(Setup(precision="int8", threads=1))
    assert bench.obstacle(Setup(precision="fp16", threads=1)) == ""
    unknown = Setup(precision="fp32", threads=1, session_options=(("optimized_model_filepath", "x"),))
    assert bench.obstacle(unknown).startswith("refused: the bundle's tuned entry sets 'optimized_model_filepath'")


def test_a_variant_with_golden_vectors_of_its_own_is_held_to_them(path, other):
    """It may choose otherwise than fp32, so there are no decibels to measure; what its metric lost is recorded."""
    made = Quantization(budget="metric", limit=0.01, loss=0.004, data="held out", metric="accuracy", agreement=0.9)
    add(path, "int8", graph=other.path / other.variant().file, quantization=made)
    bundle = Bundle.open(path)
    with rnnx.load(other.path) as session:
        own = [replace(case, outputs=session.run(case.inputs)) for case in bundle.golden()]
    (path / "own.npz").write_bytes(golden_bytes(own))
    changed = tuple(
        replace(one, golden="own.npz" if one.precision == "int8" else "") for one in bundle.manifest.variants
    )
    write_manifest(path, replace(bundle.manifest, variants=changed))
    bundle = Bundle.open(path)
    inputs = {"x": np.zeros((1, 1, 3), np.float32)}
    bench = SessionBench(bundle, provider="cpu", mode="offline", inputs=inputs, objective="p50", seed=0)
    for precision in ("fp32", "int8"):
        assert bench.obstacle(Setup(precision=precision, threads=1)) == ""
    one = bundle.variant("int8")
    for text, told, allowed in (
        ("0.5%", "0.004 accuracy (recorded)", True),
        ("0.3%", "0.004 accuracy (recorded)", False),
        ("1dB", "cannot be measured in dB: it may choose otherwise than fp32, and was proven by a metric", False),
    ):
        found = losses(bundle, [one], MaxLoss.parse(text), provider="cpu", cases=bundle.golden())["int8-offline"]
        assert (found.text, found.allowed) == (told, allowed)


def test_from_end_to_end(path, monkeypatch, tmp_path):
    """Real sessions, and whatever wins: it is kept, loaded, and answers as the plain one."""
    monkeypatch.setattr(tune_module, "MOST_NOISE", math.inf)
    add(path, "fp32", form="scan")
    done = invoke(path, "--objective", "p50", "--batch", "2", "--time", "3", "--max-loss", "0.5%", *FEW, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["kept"]
    assert {row["setup"].split(",")[0] for row in report["rows"]} == {"fp32", "fp32 scan"}
    assert [row["verdict"].startswith("chosen") for row in report["rows"]].count(True) == 1
    for row in report["rows"]:
        assert row["latency_ms"]["p50"] > 0
        assert row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
    (entry,) = Bundle.open(path).manifest.tuned
    assert entry.to_json() == report["entry"]
    assert (entry.label, entry.max_loss) == ("p50 2x3", "0.5%")
    x = np.random.default_rng(1).normal(size=(2, 3, 3)).astype(np.float32)
    with rnnx.load(path) as plain, rnnx.load(path, tuned="p50") as session:
        assert session.tuned.entry == entry
        np.testing.assert_allclose(session.run({"x": x})["scores"], plain.run({"x": x})["scores"], atol=1e-6)
    shown = CliRunner().invoke(main, ["inspect", str(path)]).output
    assert "p50 2x3" in shown
    assert "fp32-offline-scan" in shown
    np.save(tmp_path / "x.npy", x)
    ran = CliRunner().invoke(
        main,
        ["run", str(path), "--input", f"x={tmp_path / 'x.npy'}", "--tuned", "p50 2x3", "--output-dir", str(tmp_path)],
    )
    assert ran.exit_code == 0, ran.output
    assert "tuned: p50 2x3: fp32-offline" in ran.output
    ran = CliRunner().invoke(
        main,
        ["run", str(path), "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", str(tmp_path), "--json", "--tuned"],
    )
    assert json.loads(ran.stdout)["tuned"]["entry"] == entry.to_json()


def test_streams_are_tuned_and_go_on_after_it(path, monkeypatch):
    monkeypatch.setattr(tune_module, "MOST_NOISE", math.inf)
    x = np.random.default_rng(1).normal(size=(1, 6, 3)).astype(np.float32)
    with rnnx.load(path, mode="streaming") as session:
        first, state = session.step({"x": x[:, :3]}, session.initial_state())
        second, _ = session.step({"x": x[:, 3:]}, state)
        token = state.to_bytes()
    done = invoke(path, "--mode", "streaming", *FEW)
    assert done.exit_code == 0, done.output
    assert "kept in the manifest" in done.output
    with rnnx.load(path, mode="streaming") as session:
        again, _ = session.step({"x": x[:, 3:]}, rnnx.State.from_bytes(token))
        np.testing.assert_array_equal(again["scores"], second["scores"])
    with rnnx.load(path, mode="streaming", tuned=True) as session:
        again, _ = session.step({"x": x[:, 3:]}, rnnx.State.from_bytes(token))
        np.testing.assert_allclose(again["scores"], second["scores"], atol=1e-6)
    assert first["scores"].shape == (1, 3, 2)
    with pytest.raises(LookupError, match="'cpu offline' on this machine; it is for 'cpu streaming'"):
        rnnx.load(path, tuned=True)


def test_golden_vectors_are_needed(path):
    (path / GOLDEN).write_bytes(golden_bytes([GoldenCase(inputs={}, outputs={})]))
    write_manifest(path, Bundle.open(path).manifest)
    with pytest.raises(SessionError, match=r"does not run here: refused: 'golden.npz' holds no golden vectors"):
        tune(TuneRequest(bundle=str(path), objective="p50"))
    (path / GOLDEN).unlink()
    write_manifest(path, Bundle.open(path).manifest)
    with pytest.raises(BundleError, match=r"does not list the file 'golden.npz'"):
        tune(TuneRequest(bundle=str(path), objective="p50"))
