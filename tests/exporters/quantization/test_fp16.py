"""``rnnx quantize --precision fp16``: beside int8 in one bundle, proven, its own face, and every way it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import rnnx
from rnnx.benchmarks.cell_cases import cell_cases
from rnnx.benchmarks.layer_cases import layer_cases, seeded
from rnnx.benchmarks.loop_cases import loop_cases
from rnnx.benchmarks.stream_cases import stream_cases
from rnnx.bundle import Bundle, write_manifest
from rnnx.errors import BudgetError, BundleExistsError, DtypeError, LoweringError, ShapeError, SignatureError
from rnnx.exporters import Budget, export, quantize
from rnnx.exporters.matrix import build_matrix
from rnnx.exporters.passes import float16_plan, int8
from rnnx.exporters.quantization import recipes
from rnnx.exporters.quantization.budgets import METRIC, Metric, sqnr
from rnnx.exporters.quantization.proving import answerable
from rnnx.runtime.stream import run_in_chunks
from rnnx.runtime.verify import verify
from rnnx.signature import Signature, TensorSpec

FEATURES = 24


class Reader(nn.Module):
    """A learned initial state, an LSTM, a GRU and a head; what lies beyond a row's length is masked with -1e9."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.h_0 = nn.Parameter(torch.randn(1, 1, 32) / 4)
        self.front = nn.LSTM(FEATURES, 32, batch_first=True)
        self.encoder = nn.GRU(32, 32, batch_first=True)
        self.head = nn.Linear(32, 40)

    def forward(self, x, lengths):
        batch, time = x.shape[:2]
        frames, _ = self.front(x)
        hidden, _ = self.encoder(frames, self.h_0.expand(1, batch, 32).contiguous())
        beyond = torch.arange(time)[None, :, None] >= lengths[:, None, None]
        scores = self.head(hidden).masked_fill(beyond, -1e9)
        return scores  # noqa: RET504  (the output is called so)


@pytest.fixture(scope="module")
def source():
    return Reader().eval()


@pytest.fixture(scope="module")
def fp32(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("reader") / "reader.rnnx"
    export(source, inputs={"x": f"float32[batch, time, {FEATURES}]"}, lengths="lengths", out=out, streaming="on")
    return out


@pytest.fixture(scope="module")
def both(fp32, tmp_path_factory):
    """int8, then fp16, in one bundle."""
    path = shutil.copytree(fp32, tmp_path_factory.mktemp("both") / "reader.rnnx")
    quantize(path)
    return quantize(path, precision="fp16")


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((2, 40, FEATURES)).astype(np.float32)


def test_it_stands_beside_int8_with_half_the_bytes(both):
    manifest = both.bundle.manifest
    assert [one.key for one in manifest.variants] == [
        f"{precision}-{mode}" for precision in ("fp32", "int8", "fp16") for mode in ("offline", "streaming")
    ]
    sizes = {key: one.size_bytes for key, one in manifest.files.items()}
    assert sizes["fp16-offline.onnx"] < 0.55 * sizes["fp32-offline.onnx"]
    assert {one.name: one.precision for one in both.nodes} == {
        "front.l0": "fp16",
        "encoder.l0": "fp16",
        "head/MatMul": "fp16",
        "Where": "fp32",
    }
    for mode in ("offline", "streaming"):
        variant = both.bundle.variant("fp16", mode)
        assert {"LSTM", "GRU", "MatMul", "Cast"} <= set(variant.operators)
        assert variant.quantization.nodes == 3
        assert "reaches 1e+09" in variant.quantization.fp32["Where"]
    assert any("rnnx verify --provider cuda" in one for one in manifest.notes)


def test_it_is_proven_and_every_value_is_rounded(both):
    """Without the rounding of values a float16 graph on a CPU loses only what its weights do."""
    assert all(report.passed for report in both.parity)
    tolerance = both.bundle.variant("fp16").tolerance
    assert 0.005 <= tolerance.atol <= 0.1
    assert verify(both.bundle.path).passed
    assert 50 < both.loss < 80
    stored = json.loads((both.bundle.path / "parity.json").read_text())["reports"]
    assert [one["variant"] for one in stored] == [one.key for one in both.bundle.manifest.variants]


def test_a_cpu_runs_it_too_whole_and_in_chunks(both, source, x):
    path = both.bundle.path
    with torch.no_grad():
        expected = source(torch.from_numpy(x), torch.full((2,), 40)).numpy()
    with (
        rnnx.load(path, provider="cpu", precision="fp16") as whole,
        rnnx.load(path, provider="cpu", precision="fp16", mode="streaming") as session,
    ):
        answers = [whole.run({"x": x})["scores"], run_in_chunks(session, {"x": x}, (1, 2, 9, 30), "time")["scores"]]
        masked = whole.run({"x": x}, lengths=[40, 7])["scores"]
    for one in answers:
        assert one.dtype == np.float32
        assert 1e-5 < np.abs(one - expected).max() < 4e-3
    assert (masked[1, 7:] == np.float32(-1e9)).all()
    assert np.isfinite(masked).all()


def test_a_face_of_its_own(fp32, source, x, tmp_path):
    made = quantize(fp32, precision="fp16", interface=True, out=tmp_path / "half.rnnx")
    with torch.no_grad():
        expected = source(torch.from_numpy(x), torch.full((2,), 40)).numpy()
    for mode in ("offline", "streaming"):
        face = made.bundle.variant("fp16", mode).signature
        types = {one.name: one.dtype for one in (*face.inputs, *face.outputs)}
        # -1e9 would be infinite in float16.
        assert types.pop("scores") == "float32"
        assert set(types.values()) - {"int64"} == {"float16"}
        with rnnx.load(made.bundle.path, precision="fp16", mode=mode) as session:
            assert session.signature == face
            if mode == "offline":
                found = session.run({"x": x.astype(np.float16)})["scores"]
                with pytest.raises(DtypeError, match=r"input 'x' .*float32.*float16"):
                    session.run({"x": x})
            else:
                state = session.initial_state(2)
                assert {array.dtype.name for array in state.values.values()} == {"float16"}
                found = run_in_chunks(session, {"x": x.astype(np.float16)}, (3, 20), "time")["scores"]
            assert np.abs(found - expected).max() < 1e-2
    assert made.bundle.variant("fp32").signature is None
    assert all(report.passed for report in made.parity)
    assert verify(made.bundle.path).passed


def test_a_budget_between_all_and_nothing_leaves_the_costly_node(both, fp32, tmp_path):
    assert all(one.cost is None for one in both.nodes)  # all fitted at once: nothing was measured alone
    assert both.measured == 1
    limit = both.loss + 0.5
    made = quantize(fp32, precision="fp16", budget=Budget(limit=limit), out=tmp_path / "tight.rnnx")
    assert made.loss >= limit
    left = {one.name: one.why for one in made.nodes if one.precision == "fp32" and one.weights}
    assert left
    assert all(why.startswith("with it the model comes to ") for why in left.values())
    costs = {one.name: one.cost for one in made.nodes if one.cost is not None}
    assert min(costs, key=costs.get) in left
    with pytest.raises(
        BudgetError, match=r"no node of .* can be fp16 within the budget of at least 120\.0 dB\. Alone they cost: '"
    ):
        quantize(fp32, precision="fp16", budget=Budget(limit=120), out=tmp_path / "none.rnnx")
    assert not (tmp_path / "none.rnnx").exists()


def test_a_metric_sees_the_offline_session(fp32, x, tmp_path):
    seen = []

    def score(session):
        seen.append(session.variant.key)
        return float(session.run({"x": x})["scores"].mean())

    budget = Budget(kind=METRIC, limit=0.01, metric=Metric(name="mean", score=score))
    made = quantize(fp32, precision="fp16", interface=True, budget=budget, out=tmp_path / "made.rnnx")
    assert set(seen) == {"fp32-offline", "fp16-offline"}
    assert abs(made.loss) < 0.01
    failing = Budget(kind=METRIC, limit=0.01, metric=Metric(name="m", score=lambda _: 1 / 0))
    with pytest.raises(BudgetError, match=r"the metric 'm' failed on variant 'fp32-offline': ZeroDivisionError"):
        quantize(fp32, precision="fp16", budget=failing, out=tmp_path / "other.rnnx")


def test_again_only_with_force_and_no_face_for_int8(both, fp32):
    with pytest.raises(BundleExistsError, match=r"has fp16 variants already\. Replace them with --force"):
        quantize(both.bundle.path, precision="fp16")
    with pytest.raises(SignatureError, match=r"a float16 interface belongs to precision 'fp16'"):
        quantize(fp32, interface=True)
    with pytest.raises(SignatureError, match=r"precision 'fp8' cannot be made here; allowed are int8, fp16"):
        quantize(fp32, precision="fp8")
    again = quantize(both.bundle.path, precision="fp16", overwrite=True)
    assert again.bundle.sha256 == both.bundle.sha256


def test_what_cannot_be_measured(fp32, tmp_path, monkeypatch):
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 9, FEATURES + 1), np.float32))
    with pytest.raises(ShapeError, match=r"batch 0 of .*wide\.npz does not fit the model: axis 2 of input 'x' is 25"):
        quantize(fp32, precision="fp16", data=str(tmp_path / "wide.npz"), out=tmp_path / "a.rnnx")
    monkeypatch.setattr(recipes, "LIMIT_BYTES", 1000)
    with pytest.raises(
        LoweringError, match=r"the weights are [\d,]+ bytes, and the values of a graph are measured up to"
    ):
        quantize(fp32, precision="fp16", out=tmp_path / "a.rnnx")
    assert [one.name for one in tmp_path.iterdir()] == ["wide.npz"]


def test_a_mask_in_an_output_hides_no_noise():
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", axes=("batch",)),),
        outputs=(TensorSpec(name="y", dtype="float32", axes=("batch", 3)),),
    )
    reference, candidate = np.array([[3.0, 4.0, -1e9]]), np.array([[3.5, 4.5, -1e9]])
    found = sqnr(signature, [({}, {"y": reference}, {"y": candidate})])
    assert found == pytest.approx(10 * np.log10(25 / 0.5))


def test_cases_that_rounding_decides_are_not_asked_again(fp32, tmp_path):
    path = shutil.copytree(fp32, tmp_path / "reader.rnnx")
    cases = build_matrix(Bundle.open(path).manifest.signature, traced={})
    assert len(answerable(Bundle.open(path), cases)) == len(cases)
    report = json.loads((path / "parity.json").read_text())
    report["reports"][0]["undecided"] = {str(cases[1]): "rounding decides the source's own output 'tokens'"}
    report["reports"][0]["undefined"] = {str(cases[2]): "RuntimeError: too short"}
    (path / "parity.json").write_text(json.dumps(report))
    write_manifest(path, Bundle.open(path).manifest)
    assert [str(one) for one in answerable(Bundle.open(path), cases)] == [
        str(one) for index, one in enumerate(cases) if index not in {1, 2}
    ]


CASES = {case.name: case for case in (*layer_cases(), *cell_cases(), *loop_cases(), *stream_cases())}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "LSTM packed",
        "GRU layers=2 bidirectional time first no bias",
        "LSTM proj_size packed",
        "embedding, norms, convolution, dropout, attention",
        "PeepholeLSTM lengths, state",
        "stack of two cells",
        "loop that looks back",
        "residual block that looks ahead, LSTM",
    ],
)
def test_every_kind_within_40_db(name, tmp_path, monkeypatch):
    # These models are tiny, so that weights of any size must count.
    for module in (int8, float16_plan):
        monkeypatch.setattr(module, "SMALLEST", 8)
    case = CASES[name]
    path = tmp_path / "case.rnnx"
    fp32 = export(
        seeded(case), inputs=case.inputs, lengths=case.lengths, states=case.states, example=case.example, out=path
    ).bundle
    made = quantize(path, precision="fp16", interface=True)
    assert all(one.precision == "fp16" for one in made.nodes)
    assert made.loss >= 40
    assert [one.mode for one in made.variants] == [one.mode for one in fp32.manifest.variants]
    assert all(report.passed for report in made.parity)
    assert verify(path).passed
