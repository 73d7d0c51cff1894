"""``rnnx quantize``: the most nodes within a budget, proven, logged; and every way in which it refuses."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import rnnx
from rnnx.bundle import Bundle, write_manifest
from rnnx.errors import BudgetError, BundleExistsError, InputError, ShapeError, SignatureError
from rnnx.exporters import export
from rnnx.exporters.quantization.budgets import DRIFT, METRIC, Budget, Metric, drift, parse_budget, sqnr
from rnnx.exporters.quantization.calibration import calibration, stretched
from rnnx.exporters.quantization.narrowing import Found, narrow
from rnnx.exporters.quantization.quantize import quantize
from rnnx.runtime.stream import run_in_chunks
from rnnx.runtime.verify import verify
from rnnx.signature import LengthsSpec, Signature, TensorSpec

FEATURES = 32


class Tagger(nn.Module):
    """An LSTM, a GRU and a head whose weights have outliers: one node costs much more than the others."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.LSTM(FEATURES, 32, batch_first=True)
        self.encoder = nn.GRU(32, 40, batch_first=True)
        self.head = nn.Linear(40, 30)
        with torch.no_grad():
            self.head.weight[:, ::7] *= 100

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.encoder(self.front(packed)[0])
        padded, _ = nn.utils.rnn.pad_packed_sequence(hidden, batch_first=True)
        scores = self.head(padded)
        return scores  # noqa: RET504  (the output is called so)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory):
    out = tmp_path_factory.mktemp("tagger") / "tagger.rnnx"
    export(Tagger(), inputs={"x": f"float32[batch, time, {FEATURES}]"}, lengths="lengths", out=out, streaming="on")
    return out


@pytest.fixture(scope="module")
def quantized(fp32, tmp_path_factory):
    """Everything in int8, with the log of its search."""
    folder = tmp_path_factory.mktemp("int8")
    return quantize(fp32, budget=Budget(limit=20), out=folder / "int8.rnnx", log=folder / "log.json")


def signal_to_noise(reference, candidate):
    """An independent formula: decibels of the ratio of variances about zero."""
    return 20 * math.log10(np.linalg.norm(reference) / np.linalg.norm(reference - candidate))


def test_all_nodes_are_taken_where_the_budget_allows_them(quantized, fp32):
    assert [(one.name, one.precision) for one in quantized.nodes] == [
        ("front.l0", "int8"),
        ("encoder.l0", "int8"),
        ("head/MatMul", "int8"),
    ]
    keys = [one.key for one in quantized.bundle.manifest.variants]
    assert keys == ["fp32-offline", "fp32-streaming", "int8-offline", "int8-streaming"]
    for mode in ("offline", "streaming"):
        variant = quantized.bundle.variant("int8", mode)
        assert {"DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "Scan"} <= set(variant.operators)
        assert not {"LSTM", "GRU", "MatMul"} & set(variant.operators)
    files = quantized.bundle.manifest.files
    assert files["int8-offline.onnx"].size_bytes < 0.5 * files["fp32-offline.onnx"].size_bytes
    assert [one.key for one in Bundle.open(fp32).manifest.variants] == keys[:2]


def test_the_loss_is_what_the_sessions_say(quantized):
    signal = noise = 0.0
    with rnnx.load(quantized.bundle.path) as one, rnnx.load(quantized.bundle.path, precision="int8") as other:
        for case in quantized.bundle.golden():
            reference, candidate = (side.run(case.inputs)["scores"].astype(float) for side in (one, other))
            own = np.arange(reference.shape[1]) < case.inputs["lengths"][:, None]
            signal += (reference[own] ** 2).sum()
            noise += ((reference[own] - candidate[own]) ** 2).sum()
    offline = 10 * np.log10(signal / noise)
    # The streaming variant is measured too, and the worse of the two counts.
    assert 20 <= quantized.loss <= offline + 1e-9
    assert quantized.loss > offline - 6


def test_the_bundle_verifies_by_a_tolerance_that_was_measured(quantized):
    report = verify(quantized.bundle.path)
    assert report.passed
    assert {row.variant for row in report.rows} == {one.key for one in quantized.bundle.manifest.variants}
    tolerance = quantized.bundle.variant("int8").tolerance
    assert 1e-5 < tolerance.atol < 0.5
    assert all(one.passed and one.tolerance == tolerance for one in quantized.parity)
    largest = max(row.max_abs_diff / row.allowed for one in quantized.parity for row in one.rows)
    assert largest <= 0.5 + 1e-2
    stored = json.loads((quantized.bundle.path / "parity.json").read_text())["reports"]
    assert [one["variant"] for one in stored] == [one.key for one in quantized.bundle.manifest.variants]


def test_a_stream_gives_the_whole_runs_answer_within_the_budget(quantized):
    x = np.random.default_rng(0).standard_normal((2, 40, FEATURES)).astype(np.float32)
    path = quantized.bundle.path
    with rnnx.load(path) as whole, rnnx.load(path, precision="int8", mode="streaming") as session:
        expected = whole.run({"x": x}, lengths=[40, 40])["scores"]
        streamed = run_in_chunks(session, {"x": x}, (1, 2, 9, 30), "time")["scores"]
    assert signal_to_noise(expected, streamed) >= 20


def test_a_tighter_budget_leaves_the_costly_node_and_goes_on_from_the_log(quantized, fp32, tmp_path):
    cost = {one.name: one.cost for one in quantized.nodes}
    assert min(cost, key=cost.get) == "head/MatMul"
    log = shutil.copy(quantized.bundle.path.parent / "log.json", tmp_path / "log.json")
    limit = quantized.loss + 0.5
    made = quantize(fp32, budget=Budget(limit=limit), out=tmp_path / "tight.rnnx", log=log)
    assert made.loss >= limit
    left = {one.name: one.why for one in made.nodes if one.precision == "fp32"}
    assert list(left) == ["head/MatMul"]
    assert left["head/MatMul"] == f"with it the model comes to {quantized.loss:.1f} dB"
    assert "MatMul" in made.bundle.variant("int8").operators
    for mode in ("offline", "streaming"):
        entry = made.bundle.variant("int8", mode).quantization
        assert (entry.budget, entry.limit, entry.loss) == ("sqnr", limit, made.loss)
        assert (entry.data, entry.nodes, entry.fp32) == ("the bundle's golden vectors", 2, left)
    # What the first search measured (each node, and all of them) is not measured again.
    fresh = quantize(fp32, budget=Budget(limit=limit), out=tmp_path / "fresh.rnnx")
    assert fresh.measured - made.measured == len(cost) + 1
    assert [one.precision for one in fresh.nodes] == [one.precision for one in made.nodes]


def test_a_log_of_another_bundle_or_a_torn_one_is_not_believed(quantized, fp32, tmp_path):
    log = tmp_path / "log.json"
    for text in ("{", json.dumps({"task": {"bundle": "another"}, "trials": []}), "[]"):
        log.write_text(text)
        made = quantize(fp32, budget=Budget(limit=20), out=tmp_path / "made.rnnx", log=log, overwrite=True)
        assert made.measured == len(made.nodes) + 1
        assert made.loss == quantized.loss


def test_a_budget_that_cannot_be_met_says_what_each_node_costs(fp32, tmp_path):
    with pytest.raises(
        BudgetError, match=r"at least 90\.0 dB\. Alone they cost: 'encoder\.l0' \(GRU\) \d\d\.\d dB: with it"
    ):
        quantize(fp32, budget=Budget(limit=90), out=tmp_path / "made.rnnx")
    assert list(tmp_path.iterdir()) == []


def test_drift_is_measured_over_a_thousand_steps(fp32, tmp_path):
    made = quantize(fp32, budget=Budget(kind=DRIFT, limit=0.2), out=tmp_path / "made.rnnx")
    assert 0 < made.loss <= 0.2
    longer = stretched(made.bundle.manifest.signature, calibration(made.bundle, None))
    assert all(case["x"].shape[1] == 1000 and (case["lengths"] == 1000).all() for case in longer.cases)
    with rnnx.load(made.bundle.path) as one, rnnx.load(made.bundle.path, precision="int8") as other:
        pairs = [[side.run(case)["scores"] for side in (one, other)] for case in longer.cases]
    largest = max(np.abs(reference - candidate).max() for reference, candidate in pairs)
    offline = largest / max(np.abs(reference).max() for reference, _ in pairs)
    assert made.loss >= offline * (1 - 1e-6)


def test_in_place_and_again(fp32, tmp_path):
    path = shutil.copytree(fp32, tmp_path / "tagger.rnnx")
    quantize(path, budget=Budget(limit=20))
    before = Bundle.open(path)
    assert len(before.manifest.variants) == 4
    with pytest.raises(BundleExistsError, match=r"has int8 variants already\. Replace them with --force"):
        quantize(path, budget=Budget(limit=20))
    quantize(path, budget=Budget(limit=20), overwrite=True)
    assert Bundle.open(path).sha256 == before.sha256
    assert [one.name for one in tmp_path.iterdir()] == ["tagger.rnnx"]


def test_a_metric_of_the_users_own(fp32, tmp_path):
    """It sees sessions; what it loses is in its own unit, and more is refused."""
    x = np.random.default_rng(1).standard_normal((4, 30, FEATURES)).astype(np.float32)
    with rnnx.load(fp32) as session:
        labels = session.run({"x": x})["scores"].argmax(-1)

    def agreement(session):
        return (session.run({"x": x})["scores"].argmax(-1) == labels).mean()

    made = quantize(
        fp32,
        budget=Budget(kind=METRIC, limit=0.5, metric=Metric(name="same", score=agreement)),
        out=tmp_path / "a.rnnx",
    )
    with rnnx.load(made.bundle.path, precision="int8") as session:
        assert made.loss == pytest.approx(1 - agreement(session))
    worse = Metric(
        name="errors", score=lambda session: float(session.variant.precision == "int8"), lower_is_better=True
    )
    with pytest.raises(
        BudgetError, match=r"budget of at most 0\.3 errors lost.*with it the model comes to 1 errors lost"
    ):
        quantize(fp32, budget=Budget(kind=METRIC, limit=0.3, metric=worse), out=tmp_path / "b.rnnx")


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda _: {}["labels"], "the metric 'm' failed on variant 'fp32-offline': KeyError: 'labels'"),
        (lambda _: "good", "the metric 'm' returned 'good' for variant 'fp32-offline'"),
        (lambda _: float("nan"), "the metric 'm' returned nan"),
    ],
)
def test_a_metric_that_fails(score, message, fp32, tmp_path):
    with pytest.raises(BudgetError, match=message):
        quantize(
            fp32, budget=Budget(kind=METRIC, limit=0.1, metric=Metric(name="m", score=score)), out=tmp_path / "a.rnnx"
        )


def test_data_from_a_file_and_data_that_does_not_fit(fp32, quantized, tmp_path):
    rng = np.random.default_rng(2)
    good = {f"{n}/x": rng.standard_normal((2, 9, FEATURES)).astype(np.float32) for n in range(2)}
    lengths = {f"{n}/lengths": np.array([9, 4]) for n in range(2)}
    np.savez(tmp_path / "good.npz", **good, **lengths)
    made = quantize(fp32, budget=Budget(limit=20), data=str(tmp_path / "good.npz"), out=tmp_path / "a.rnnx")
    assert made.data == str(tmp_path / "good.npz")
    assert made.loss != quantized.loss
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 9, FEATURES + 1), np.float32), lengths=np.array([9, 9]))
    with pytest.raises(ShapeError, match=r"batch 0 of .*wide\.npz does not fit the model: axis 2 of input 'x' is 33"):
        quantize(fp32, data=str(tmp_path / "wide.npz"), out=tmp_path / "b.rnnx")
    with pytest.raises(InputError, match=r"nosuch\.npz' does not exist"):
        quantize(fp32, data=str(tmp_path / "nosuch.npz"), out=tmp_path / "b.rnnx")
    (tmp_path / "torn.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"torn\.npz' cannot be read"):
        quantize(fp32, data=str(tmp_path / "torn.npz"), out=tmp_path / "b.rnnx")
    (tmp_path / "batches.py").write_text("def empty():\n    return []\n\ndef broken():\n    return 3\n")
    with pytest.raises(InputError, match=r"holds no arrays"):
        quantize(fp32, data=f"{tmp_path / 'batches.py'}:empty", out=tmp_path / "b.rnnx")
    with pytest.raises(InputError, match=r"batches\.py:broken' failed: TypeError"):
        quantize(fp32, data=f"{tmp_path / 'batches.py'}:broken", out=tmp_path / "b.rnnx")
    assert not (tmp_path / "b.rnnx").exists()


def test_what_the_source_refused_is_not_run(fp32, tmp_path):
    """ONNX Runtime's GRU ends the process where a model leaves no frame of a sequence, as the source would not."""
    path = shutil.copytree(fp32, tmp_path / "tagger.rnnx")
    report = json.loads((path / "parity.json").read_text())
    report["reports"][0]["undefined"]["batch=5 time=33 lengths=mixed"] = "RuntimeError: no frame is left"
    (path / "parity.json").write_text(json.dumps(report))
    write_manifest(path, Bundle.open(path).manifest)
    ran, all_of_it = (
        {row.case for row in quantize(one, budget=Budget(limit=20), out=tmp_path / name).parity[0].rows}
        for one, name in ((path, "a.rnnx"), (fp32, "b.rnnx"))
    )
    assert all_of_it - ran == {"batch=5 time=33 lengths=mixed"}


def test_weights_beside_the_graph_and_an_old_operator_set(tmp_path):
    torch.manual_seed(0)
    out = tmp_path / "gru.rnnx"
    export(
        nn.GRU(FEATURES, 32),
        inputs={"input": f"float32[time, batch, {FEATURES}]"},
        out=out,
        external_data_bytes=1,
        opset=17,
    )
    assert Bundle.open(out).variant().data_files
    made = quantize(out)
    assert made.bundle.variant("int8").data_files == ()
    assert verify(out).passed


def test_budgets_as_they_are_written(tmp_path):
    assert parse_budget() == Budget(kind="sqnr", limit=30)
    assert parse_budget(drift=1e-2) == Budget(kind=DRIFT, limit=1e-2)
    (tmp_path / "eval.py").write_text("def score(session):\n    return 1.0\n")
    found = parse_budget(points="0.5%", metric=f"accuracy={tmp_path / 'eval.py'}:score")
    assert (found.limit, found.metric.name) == (0.005, "accuracy")
    for wrong, message in (
        ({"drift": 0.0 - 1}, "is no drift"),
        ({"sqnr": math.nan}, "is no sqnr"),
        ({"points": "half", "metric": f"a={tmp_path / 'eval.py'}:score"}, "'half' is no number"),
        ({"points": "1%", "metric": "eval.py:score"}, "must be 'name=file.py:function'"),
    ):
        with pytest.raises(BudgetError, match=message):
            parse_budget(**wrong)
    with pytest.raises(SignatureError, match="precision 'int4' cannot be made here; allowed are int8, fp16"):
        quantize(tmp_path, precision="int4")


def test_padding_is_not_counted():
    signature = Signature(
        inputs=(
            TensorSpec(name="x", dtype="float32", axes=("batch", "time")),
            TensorSpec(name="n", dtype="int64", axes=("batch",)),
        ),
        outputs=(TensorSpec(name="y", dtype="float32", axes=("batch", "time")),),
        lengths=(LengthsSpec(name="n", axis="time"),),
    )
    reference = np.array([[3.0, 4.0, 100.0]], np.float32)
    candidate = np.array([[3.0, 4.5, -100.0]], np.float32)
    case = ({"n": np.array([2])}, {"y": reference}, {"y": candidate})
    assert sqnr(signature, [case]) == pytest.approx(10 * math.log10(25 / 0.25))
    assert drift(signature, [case]) == pytest.approx(0.5 / 4)
    assert sqnr(signature, [({"n": np.array([1])}, *case[1:])]) == math.inf
    nothing = ({"n": np.array([3])}, {"y": reference}, {"y": np.full_like(reference, np.nan)})
    assert not Budget(limit=-1e9).allows(sqnr(signature, [nothing]))
    assert drift(signature, [nothing]) == math.inf


def test_narrowing_keeps_the_most_nodes():
    """Costs that add up, one that only looks cheap, and one beyond it that still fits."""
    costs = {"a": 1, "b": 2, "trap": 2.5, "c": 3, "d": 50}
    asked = []

    def measure(names):
        asked.append(tuple(names))
        total = sum(100 if name == "trap" and len(names) > 1 else costs[name] for name in names)
        return Found(loss=total, fits=total <= 10, why="" if total <= 10 else f"{total}")

    found = narrow(list(costs), measure)
    assert found.kept == ("a", "b", "c")
    assert found.found.loss == 6
    assert set(found.refused) == {"trap", "d"}
    assert len(asked) <= 1 + 3 + 2
    assert narrow(["d"], measure).kept == ()
    assert narrow(["a", "b"], measure).kept == ("a", "b")
