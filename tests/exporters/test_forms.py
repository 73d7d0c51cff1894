"""``add_forms``: a proven variant beside the one that export made, or an error and the bundle as it was."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import rnnx
from rnnx.bundle import Bundle, write_manifest
from rnnx.errors import LoweringError, ParityError, VariantError
from rnnx.exporters import export
from rnnx.exporters.forms import add_forms
from rnnx.exporters.passes import scan_steps
from rnnx.runtime.verify import verify
from rnnx.signature import AxisRange


class Tagger(nn.Module):
    """Lengths, both directions, a declared state, and a head: an LSTM, a GRU and an RNN."""

    def __init__(self, *, bidirectional=True):
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.LSTM(6, 5, batch_first=True, bidirectional=bidirectional)
        self.encoder = nn.GRU(5 * (1 + bidirectional), 4, batch_first=True)
        self.last = nn.RNN(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = self.last(self.encoder(self.front(packed)[0])[0])
        scores = self.head(nn.utils.rnn.pad_packed_sequence(hidden, batch_first=True)[0])
        return scores  # noqa: RET504  (the output is called so)


def exported(out, **options):
    export(
        Tagger(bidirectional=options.get("streaming", "off") == "off").eval(),
        inputs={"x": "float32[batch, time, 6]"},
        lengths="lengths",
        out=out,
        **{"streaming": "off", **options},
    )
    return out


@pytest.fixture(scope="module")
def fp32(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("forms") / "tagger.rnnx")


@pytest.fixture
def bundle(fp32, tmp_path):
    return shutil.copytree(fp32, tmp_path / "tagger.rnnx")


def test_the_form_stands_beside_the_graph_and_answers_as_the_source(bundle):
    before = Bundle.open(bundle)
    lines = []
    (made,) = add_forms(bundle, progress=lines.append)
    assert (made.key, made.file, made.form) == ("fp32-offline-scan", "fp32-offline-scan.onnx", "scan")
    assert made.operators["Scan"] == 4
    assert not {"LSTM", "GRU", "RNN"} & made.operators.keys()
    assert lines == ["fp32-offline: the form 'scan'"]
    after = Bundle.open(bundle)
    after.check()
    assert after.manifest.variants == (*before.manifest.variants, made)
    for name in before.manifest.files.keys() - {"parity.json"}:
        assert after.manifest.files[name] == before.manifest.files[name]
    reports = json.loads(after.read("parity.json"))["reports"]
    assert [(one["variant"], one["passed"]) for one in reports] == [("fp32-offline", True), ("fp32-offline-scan", True)]
    assert verify(bundle, provider="cpu").passed
    x = np.random.default_rng(3).standard_normal((4, 9, 6)).astype(np.float32)
    lengths = [9, 1, 4, 7]
    with torch.no_grad():
        expected = Tagger()(torch.from_numpy(x), torch.tensor(lengths)).numpy()
    with rnnx.load(bundle, provider="cpu", form="scan", threads=1) as session:
        np.testing.assert_allclose(session.run({"x": x}, lengths)["scores"], expected, rtol=0, atol=2e-6)
    # The one that export made is what is loaded where no form is named.
    with rnnx.load(bundle, provider="cpu", threads=1) as session:
        assert session.variant.form == ""


def test_what_is_there_is_not_made_anew(bundle):
    first = add_forms(bundle)
    sha256 = Bundle.open(bundle).sha256
    assert add_forms(bundle) == first
    assert Bundle.open(bundle).sha256 == sha256


def test_a_streaming_form_is_proven_in_chunks(tmp_path):
    path = exported(tmp_path / "stream.rnnx", streaming="on")
    (made,) = add_forms(path, mode="streaming")
    assert made.key == "fp32-streaming-scan"
    assert made.signature == Bundle.open(path).variant("fp32", "streaming").signature
    reports = json.loads(Bundle.open(path).read("parity.json"))["reports"]
    assert {one["chunks"] for one in reports[-1]["cases"]} == {"all", "random", "1"}
    assert verify(path, provider="cpu").passed
    x = np.random.default_rng(3).standard_normal((2, 5, 6)).astype(np.float32)
    answers = {}
    for form in ("", "scan"):
        with rnnx.load(path, provider="cpu", mode="streaming", form=form, threads=1) as session:
            stream = session.stream(2)
            answers[form] = np.concatenate(
                [stream.push({"x": x[:, part]})["scores"] for part in (slice(2), slice(2, 5))], 1
            )
    np.testing.assert_allclose(answers["scan"], answers[""], rtol=0, atol=2e-6)


def test_a_form_that_is_wrong_is_not_written(bundle, monkeypatch):
    sha256 = Bundle.open(bundle).sha256
    right = scan_steps._STEPS["RNN"]

    def wrong(node, step, weights, given):
        return [step.call("Neg", *right(node, step, weights, given))]

    monkeypatch.setitem(scan_steps._STEPS, "RNN", wrong)
    with pytest.raises(
        ParityError, match=r"'fp32-offline-scan' of .* is not what export made: output 'scores' at .*max_abs_diff"
    ):
        add_forms(bundle)
    assert Bundle.open(bundle).sha256 == sha256
    assert not [one for one in bundle.parent.iterdir() if one != bundle]


def test_golden_vectors_are_held_too(bundle, monkeypatch):
    """The matrix holds the form against fp32 alone; the golden vectors are the source's own answers."""
    golden = Bundle.open(bundle).golden()
    golden[0].outputs["scores"][:] += 1
    monkeypatch.setattr(Bundle, "golden", lambda _bundle, _variant=None: golden)
    with pytest.raises(ParityError, match=r"misses golden vector 0: output 'scores' max_abs_diff 1"):
        add_forms(bundle)


def test_a_model_without_such_layers_says_so(tmp_path):
    path = tmp_path / "linear.rnnx"
    export(nn.Linear(3, 2).eval(), inputs={"input": "float32[batch, 3]"}, out=path, streaming="off")
    with pytest.raises(LoweringError, match=r"no layer of 'fp32-offline' of .* has another form: it has none"):
        add_forms(path)
    with pytest.raises(VariantError, match=r"no variant 'fp32-streaming'"):
        add_forms(path, mode="streaming")


def test_an_axis_that_may_be_empty_keeps_its_form(bundle):
    found = Bundle.open(bundle)
    signature = found.manifest.signature
    ranges = tuple(AxisRange(name=one, minimum=0) for one in ("time",))
    changed = replace(found.manifest, signature=replace(signature, ranges=ranges))
    write_manifest(bundle, changed)
    with pytest.raises(LoweringError, match=r"takes the size 0 of 'time'"):
        add_forms(bundle)
