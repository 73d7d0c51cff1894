"""A lower precision that may choose otherwise than fp32: proven by a metric, and held to golden vectors of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper
from torch import nn

import rnnx
from rnnx.bundle import Bundle, write_manifest
from rnnx.cli.main import main
from rnnx.errors import BudgetError
from rnnx.exporters import export
from rnnx.exporters.quantization import proving, trials
from rnnx.exporters.quantization.budgets import METRIC, Budget, Metric
from rnnx.exporters.quantization.building import read_graph
from rnnx.exporters.quantization.quantize import quantize
from rnnx.exporters.quantization.steadiness import nudge
from rnnx.exporters.saving import save_variant
from rnnx.models.search import greedy
from rnnx.runtime.verify import golden_rows, verify

LETTERS, HIDDEN, BEGIN, END = 20, 48, 1, 0


class Speller(nn.Module):
    """Reads letters and writes others, one after the other; and says what it read, and how many pairs that were."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.letters, self.reader = nn.Embedding(LETTERS, 32), nn.GRU(32, HIDDEN, batch_first=True)
        self.said, self.writer = nn.Embedding(LETTERS, 32), nn.GRUCell(32, HIDDEN)
        self.head = nn.Linear(HIDDEN, LETTERS)
        with torch.no_grad():
            # As sure of itself as a trained model; of weights as they are drawn all letters are a near tie.
            self.head.weight *= 20
            self.head.bias[END] += 1.0

    def forward(self, source, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.letters(source), lengths, batch_first=True, enforce_sorted=False
        )
        read = self.reader(packed)[1][0]

        def step(last, state, _):
            state = self.writer(self.said(last), state)
            return self.head(state), state

        found = greedy(step, read, begin=torch.full_like(lengths, BEGIN), end=END, max_length=12)
        return found.tokens, found.lengths, found.scores, read, (lengths + 1) // 2


OUTPUTS = ("tokens", "lengths_out", "scores", "read", "pairs")


def some(session):
    """A metric: the share of 64 words whose first letter is said as fp32 says it, to which nobody told it."""
    words = np.random.default_rng(5).integers(0, LETTERS, (64, 5))
    return float(np.bincount(session.run({"source": words})["tokens"][:, 0], minlength=LETTERS).max()) / 64


BUDGET = Budget(kind=METRIC, limit=0.5, metric=Metric(name="share", score=some))


@pytest.fixture(scope="module")
def fp32(tmp_path_factory):
    out = tmp_path_factory.mktemp("speller") / "speller.rnnx"
    export(
        Speller(),
        inputs=[f"source: int64[batch, source] < {LETTERS}", "lengths: int64[batch]"],
        lengths="lengths:source",
        ranges={"source": (1, 12)},
        outputs=OUTPUTS,
        streaming="off",
        out=out,
    )
    return out


@pytest.fixture(scope="module")
def made(fp32, tmp_path_factory):
    return quantize(fp32, budget=BUDGET, out=tmp_path_factory.mktemp("int8") / "int8.rnnx")


def changed(path, to, change):
    """A copy of a bundle whose int8 graph is another one, under right hashes."""
    copy = shutil.copytree(path, to)
    bundle = Bundle.open(copy)
    variant = bundle.variant("int8")
    graph = read_graph(bundle, variant)
    change(graph)
    save_variant(graph, copy, variant)
    write_manifest(copy, bundle.manifest)
    return copy


def test_other_budgets_hold_every_token_to_fp32(fp32, tmp_path):
    found = quantize(fp32, budget=Budget(limit=-1000.0), out=tmp_path / "a.rnnx")
    refused = {one.why for one in found.nodes if one.precision == "fp32"}
    assert "the golden vectors of int8-offline then differ in 'tokens'" in refused
    variant = found.bundle.variant("int8")
    assert (variant.golden, variant.quantization.agreement, variant.quantization.reference) == ("", None, None)
    assert json.loads((found.bundle.path / "manifest.json").read_text())["schema_version"] == 1
    report = verify(found.bundle.path)
    assert report.passed
    assert report.own == {}
    assert "golden vectors of its own" not in CliRunner().invoke(main, ["inspect", str(found.bundle.path)]).output


def test_a_metrics_budget_gives_golden_vectors_of_its_own(made, fp32):
    assert {one.precision for one in made.nodes} == {"int8"}
    bundle = made.bundle
    plain, variant = bundle.variant("fp32"), bundle.variant("int8")
    assert (plain.golden, variant.golden) == ("", "int8-offline.golden.npz")
    assert json.loads((bundle.path / "manifest.json").read_text())["schema_version"] == 2
    report = verify(bundle.path)
    assert report.passed
    assert set(report.own) == {"int8-offline"}
    with rnnx.load(bundle.path, precision="int8") as session, rnnx.load(fp32) as other:
        cases = bundle.golden(variant)
        assert 1 <= len(cases) <= 4
        for case in cases:
            said, source = session.run(case.inputs), other.run(case.inputs)
            for name in ("tokens", "lengths_out", "scores"):
                np.testing.assert_array_equal(case.outputs[name], said[name])
            # What hangs on no choice is fp32's, and held to it.
            for name in ("read", "pairs"):
                np.testing.assert_array_equal(case.outputs[name], source[name])
            assert np.abs(said["read"] - source["read"]).max() > 0
        # The bundle's own vectors are as they were, and int8 does not give them.
        assert (bundle.path / "golden.npz").read_bytes() == (fp32 / "golden.npz").read_bytes()
        missed = {row.output for row in golden_rows(session, bundle.golden()) if not row.passed}
        assert "tokens" in missed
        assert not {"read", "pairs"} & missed


def test_it_is_told_what_proves_it(made):
    entry = made.bundle.variant("int8").quantization
    with rnnx.load(made.bundle.path) as one, rnnx.load(made.bundle.path, precision="int8") as other:
        assert (entry.reference, entry.reached) == (some(one), pytest.approx(some(other)))
        alike = of = 0
        for case in made.bundle.golden():
            said = other.run(case.inputs)
            for name in ("tokens", "lengths_out"):
                expected, found = case.outputs[name], said[name]
                steps = min(expected.shape[-1], found.shape[-1])
                alike += (expected[..., :steps] == found[..., :steps]).sum()
                of += max(expected.size, found.size)
    assert 0 < entry.agreement < 1
    assert entry.agreement == pytest.approx(alike / of)
    data = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert (data["reference"], data["reached"], data["agreement"]) == (entry.reference, entry.reached, entry.agreement)
    told = f"of which {entry.agreement:.1%} are the same in the golden vectors: it has golden vectors of its own"
    run = CliRunner().invoke
    for arguments in (["inspect"], ["verify", "--precision", "int8"]):
        shown = run(main, [arguments[0], str(made.bundle.path), *arguments[1:]])
        assert shown.exit_code == 0, shown.output
        assert f"int8-offline: share {entry.reached:.4g}, in fp32 {entry.reference:.4g}" in shown.output
        assert told in shown.output
    data = json.loads(run(main, ["verify", str(made.bundle.path), "--json"]).stdout)
    assert told in data["own"]["int8-offline"]


def test_the_command_says_it(fp32, tmp_path):
    (tmp_path / "metric.py").write_text("def score(session):\n    return 0.5\n")
    metric = f"half={tmp_path / 'metric.py'}:score"
    arguments = ["quantize", str(fp32), "-o", str(tmp_path / "a.rnnx"), "--budget", "0", "--metric", metric]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "what it chooses may be otherwise than fp32's: of the choices in fp32's golden vectors" in result.output
    assert "(half 0.5, in fp32 0.5), and 'rnnx verify' holds it to golden vectors of its own." in result.output


def test_the_matrix_compares_what_hangs_on_choices_where_they_are_fp32s(made):
    (report,) = made.parity
    assert report.passed
    compared = {name: {row.case for row in report.rows if row.output == name} for name in ("read", "scores")}
    assert compared["scores"]
    assert len(compared["scores"]) + len(report.undecided) == len(compared["read"])
    assert not compared["scores"] & set(report.undecided)
    assert set(report.undecided.values()) == {"int8 chooses otherwise than fp32"}


@pytest.mark.parametrize("seed", range(3))
def test_another_machines_rounding_is_no_false_alarm(made, tmp_path, seed):
    """Ten times what processors differ by, by other shares than those that it was proven with."""
    path = changed(made.bundle.path, tmp_path / "a.rnnx", lambda graph: nudge(graph, 1e-5, 100 + seed))
    assert (path / "int8-offline.onnx").read_bytes() != (made.bundle.path / "int8-offline.onnx").read_bytes()
    assert verify(path, precision="int8").passed


def test_every_weight_that_is_another_one_is_seen(made, tmp_path):
    """The bytes of one matrix of eight bits after the other, backwards."""
    graph = onnx.load(made.bundle.path / "int8-offline.onnx").graph
    names = [one.name for one in _stored(graph) if one.data_type == onnx.TensorProto.INT8 and len(one.raw_data) > 1]
    assert len(names) >= len(made.nodes)
    for number, name in enumerate(names):
        path = shutil.copytree(made.bundle.path, tmp_path / f"{number}.rnnx")
        model = onnx.load(path / "int8-offline.onnx")
        (tensor,) = (one for one in _stored(model.graph) if one.name == name)
        tensor.raw_data = numpy_helper.to_array(tensor).ravel()[::-1].tobytes()
        onnx.save(model, path / "int8-offline.onnx")
        write_manifest(path, Bundle.open(path).manifest)
        assert not verify(path, precision="int8").passed, name


def _stored(graph):
    """Constants of a graph and its bodies."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _stored(attribute.g)


def test_rounding_that_decides_every_case_is_refused(fp32, tmp_path, monkeypatch):
    found = trials.recipe

    def rough(*arguments, **options):
        return replace(found(*arguments, **options), nudge=3.0)

    monkeypatch.setattr(trials, "recipe", rough)
    with pytest.raises(BudgetError, match=r"rounding decides what 'int8-offline' of .* chooses in all \d+ cases"):
        quantize(fp32, budget=BUDGET, out=tmp_path / "a.rnnx")
    assert list(tmp_path.iterdir()) == []


def test_choices_that_are_never_fp32s_are_refused(fp32, tmp_path, monkeypatch):
    monkeypatch.setattr(proving, "same_choices", lambda *_: False)
    with pytest.raises(BudgetError, match=r"int8 chooses otherwise than fp32 in each of the \d+ cases of the parity"):
        quantize(fp32, budget=BUDGET, out=tmp_path / "a.rnnx")


def test_fp16_chooses_alike_in_its_proof_and_in_its_file(made, tmp_path):
    out = shutil.copytree(made.bundle.path, tmp_path / "both.rnnx")
    half = quantize(out, precision="fp16", budget=BUDGET)
    variants = {one.key: one.golden for one in half.bundle.manifest.variants}
    assert variants == {
        "fp32-offline": "", "int8-offline": "int8-offline.golden.npz", "fp16-offline": "fp16-offline.golden.npz"
    }  # fmt: skip
    assert verify(out).passed
    assert half.entry.agreement > made.entry.agreement
    # Made anew, it leaves no vectors of before.
    again = quantize(out, precision="fp16", budget=BUDGET, overwrite=True)
    assert set(again.bundle.manifest.files) == set(half.bundle.manifest.files)


class Labeller(nn.Module):
    """Scores of each frame, and the best of them: a choice that nothing else hangs on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 40)

    def forward(self, x):
        scores = self.head(self.encoder(x)[0])
        return scores, scores.argmax(-1)


def test_streams_that_choose_have_their_own_too(tmp_path):
    out = tmp_path / "labeller.rnnx"
    export(Labeller(), inputs={"x": "float32[batch, time, 8]"}, outputs=("scores", "labels"), streaming="on", out=out)
    found = quantize(out, budget=Budget(kind=METRIC, limit=0.0, metric=Metric(name="one", score=lambda _: 1.0)))
    assert [one.precision for one in found.nodes] == ["int8", "int8"]
    modes = ("offline", "streaming")
    assert [found.bundle.variant("int8", mode).golden for mode in modes] == [f"int8-{one}.golden.npz" for one in modes]
    assert verify(out).passed
    for mode, report in zip(modes, found.parity, strict=True):
        # The scores hang on no choice: they are held to fp32's in every case, and in the golden vectors.
        assert {row.output for row in report.rows} == {"scores"}
        own = found.bundle.golden(found.bundle.variant("int8", mode))
        with rnnx.load(out) as source, rnnx.load(out, precision="int8", mode=mode) as session:
            assert all(np.array_equal(source.run(one.inputs)["scores"], one.outputs["scores"]) for one in own)
            assert all(row.passed for row in golden_rows(session, own))
            wrong = [replace(one, outputs=one.outputs | {"labels": (one.outputs["labels"] + 1) % 40}) for one in own]
            assert {row.output for row in golden_rows(session, wrong) if not row.passed} == {"labels"}
