"""Encoder-decoders: the formulas of their papers, masks, the steps of training and of decoding, and their exports."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import rnnx
from rnnx.benchmarks import seq2seq_cases as cases
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import seeded
from rnnx.models import seq2seq
from rnnx.runtime import search
from rnnx.runtime.two_graphs import TwoGraphs

CASES = {case.name: case for case in cases.seq2seq_cases()}
MODELS = {"cho": cases.cho, "bahdanau": cases.bahdanau, "luong": cases.luong}
QUICK = ("Cho greedy", "Bahdanau, given the target", "Luong general beam search")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(module):
    return {name: one.detach().numpy().astype(np.float64) for name, one in module.named_parameters()}


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def build(name):
    return seeded(SimpleNamespace(build=MODELS[name]))


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        source=torch.tensor(rng.integers(0, cases.SOURCE_VOCABULARY, (4, 9))),
        lengths=torch.tensor([9, 1, 4, 6]),
        target=torch.tensor(rng.integers(0, cases.TARGET_VOCABULARY, (4, 5))),
    )


def test_a_step_of_cho_is_the_papers(batch):
    model = build("cho")
    w = weights(model.decoder)
    tokens = batch.target[:, 0]
    with torch.no_grad():
        state, memory = model.decoder.begin(model.encoder(batch.source, batch.lengths))
        logits, after = model.decoder.step(tokens, state, memory)
        summary = model.encoder(batch.source, batch.lengths).summary.double().numpy()
    for row in range(4):
        c = np.tanh(w["summarise.weight"] @ summary[row] + w["summarise.bias"])
        h = np.tanh(w["start.weight"] @ c + w["start.bias"])
        np.testing.assert_allclose(state["h"][row].numpy(), h, atol=1e-6)
        x = w["embedding.weight"][int(tokens[row])]
        from_x = np.split(w["input.weight"] @ x + w["input.bias"], 3)
        of_h, of_c = np.split(w["hidden.weight"] @ h, 3), np.split(w["context.weight"] @ c, 3)
        r = sigmoid(from_x[0] + of_h[0] + of_c[0])
        z = sigmoid(from_x[1] + of_h[1] + of_c[1])
        new = z * h + (1 - z) * np.tanh(from_x[2] + r * (of_h[2] + of_c[2]))
        np.testing.assert_allclose(after["h"][row].numpy(), new, atol=1e-6)
        s = w["output.weight"] @ np.concatenate([new, x, c]) + w["output.bias"]
        expected = w["head.weight"] @ s.reshape(-1, 2).max(1) + w["head.bias"]
        np.testing.assert_allclose(logits[row].numpy(), expected, atol=1e-5)


def attended(score, values, length):
    shares = softmax(np.array([score(h) for h in values[:length]]))
    return shares @ values[:length], shares


def test_additive_attention_is_the_papers():
    torch.manual_seed(0)
    layer = seq2seq.AdditiveAttention(4, 6, 5)
    values, query, lengths = torch.randn(3, 7, 6), torch.randn(3, 4), torch.tensor([7, 1, 3])
    with torch.no_grad():
        context, shares = layer(query, layer.keys(values), values, lengths)
    w = weights(layer)
    for row in range(3):
        expected, of = attended(
            lambda h, row=row: (
                w["score.weight"][0]
                @ np.tanh(w["query.weight"] @ query[row].double().numpy() + w["key.weight"] @ h + w["key.bias"])
            ),
            values[row].double().numpy(),
            int(lengths[row]),
        )
        np.testing.assert_allclose(context[row].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(shares[row, : len(of)].numpy(), of, atol=1e-6)
        assert not shares[row, len(of) :].any()


@pytest.mark.parametrize("kind", ["dot", "general", "concat"])
def test_multiplicative_attention_is_the_papers(kind):
    torch.manual_seed(0)
    size = 6 if kind == "dot" else 4
    layer = seq2seq.MultiplicativeAttention(size, 6, kind)
    values, query, lengths = torch.randn(3, 7, 6), torch.randn(3, size), torch.tensor([7, 1, 3])
    with torch.no_grad():
        context, _ = layer(query, layer.keys(values), values, lengths)
    w = weights(layer)
    for row in range(3):
        s = query[row].double().numpy()
        scores = {
            "dot": lambda h, s=s: s @ h,
            "general": lambda h, s=s: s @ (w["weight.weight"] @ h),
            "concat": lambda h, s=s: w["score.weight"][0] @ np.tanh(w["both.weight"] @ np.concatenate([s, h])),
        }
        expected, _ = attended(scores[kind], values[row].double().numpy(), int(lengths[row]))
        np.testing.assert_allclose(context[row].numpy(), expected, atol=1e-6)


def test_attention_refuses_what_it_cannot_be():
    with pytest.raises(rnnx.errors.InputError, match="score of an attention is 'cosine'; it must be one of dot"):
        seq2seq.MultiplicativeAttention(4, 4, "cosine")
    with pytest.raises(rnnx.errors.InputError, match="'dot' needs queries and values of one size; they have 4 and 6"):
        seq2seq.MultiplicativeAttention(4, 6, "dot")


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_past_a_rows_length_is_not_looked_at(name, batch):
    model = build(name)
    other = torch.where(torch.arange(9) < batch.lengths.unsqueeze(1), batch.source, 3)
    with torch.no_grad():
        one, two = (model(source, batch.lengths, batch.target) for source in (batch.source, other))
        alone = model(batch.source[2:3, :4], batch.lengths[2:3], batch.target[2:3])
    assert torch.equal(one, two)
    torch.testing.assert_close(one[2:3], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_training_sees_what_decoding_does(name, batch):
    """The target given at once scores as the same target given token by token, and has gradients everywhere."""
    model = build(name)
    logits = model(batch.source, batch.lengths, batch.target)
    with torch.no_grad():
        state, memory = model.decoder.begin(model.encoder(batch.source, batch.lengths))
        token = torch.full((4,), cases.BEGIN)
        for t in range(5):
            expected, state = model.decoder.step(token, state, memory)
            torch.testing.assert_close(logits[:, t], expected, rtol=0, atol=1e-5)
            token = batch.target[:, t]
    logits.logsumexp(-1).sum().backward()
    assert all(one.grad is not None and bool(one.grad.abs().sum() > 0) for one in model.parameters())


@pytest.mark.parametrize("name", QUICK)
def test_an_encoder_decoder_exports(name, tmp_path):
    check_export(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
def test_every_encoder_decoder_exports(name, tmp_path):
    check_export(name, tmp_path)


def check_export(name, tmp_path):
    """The export itself holds every answer against the source's, tokens exactly."""
    exported = export_case(CASES[name], tmp_path / "case.rnnx")
    operators = exported.bundle.manifest.variants[0].operators
    kinds = {kind: n for kind, n in operators.items() if kind in {"Scan", "Loop", "LSTM", "GRU", "RNN"}}
    assert kinds == dict(CASES[name].recurrent)
    assert exported.parity.passed
    assert not exported.parity.undefined
    axes = {spec.name: spec.axes for spec in exported.bundle.manifest.signature.outputs}
    if "greedy" in name or "sampling" in name:
        assert axes["tokens"] == ("batch", "steps")
    if "beam" in name:
        assert axes["tokens"] == ("batch", "beam_width", "steps")


@pytest.mark.parametrize("name", ["bahdanau"])
def test_a_host_that_searches_by_itself_finds_what_pytorch_finds(name, batch, tmp_path):
    model = build(name)
    vocabularies = {
        "source_vocabulary": cases.SOURCE_VOCABULARY,
        "target_vocabulary": cases.TARGET_VOCABULARY,
    }
    seq2seq.export_parts(model, tmp_path, **vocabularies)
    rest = {"begin": np.full(4, cases.BEGIN), "end": cases.END, "max_length": 15}
    limit, seed = torch.tensor(15), np.array([5, 6, 7, 8])
    with rnnx.load(tmp_path / "encoder.rnnx") as encoder, rnnx.load(tmp_path / "step.rnnx") as step, torch.no_grad():
        both = TwoGraphs(encoder, step)
        given = both.begin({"source": batch.source.numpy()}, batch.lengths.numpy())
        found = {
            "greedy": search.greedy(both.step, *given, **rest),
            "beam": search.beam(both.step, *given, **rest, width=4, length_penalty=0.6),
            "sample": search.sample(both.step, *given, **rest, seed=seed, temperature=0.8, top_k=5),
        }
        source = (batch.source, batch.lengths)
        expected = {
            "greedy": seq2seq.Greedy(model)(*source, max_length=limit),
            "beam": seq2seq.Beam(model)(
                *source, max_length=limit, beam_width=torch.tensor(4), length_penalty=torch.tensor(0.6)
            ),
            "sample": seq2seq.Sampling(model)(
                *source,
                max_length=limit,
                seed=torch.tensor(seed),
                temperature=torch.tensor(0.8),
                top_k=torch.tensor(5),
            ),
        }
        for kind, answer in found.items():
            assert np.array_equal(answer.tokens, expected[kind].tokens.numpy()), kind
            assert np.array_equal(answer.lengths, expected[kind].lengths.numpy()), kind
            np.testing.assert_allclose(answer.scores, expected[kind].scores.numpy(), atol=1e-5)
        with pytest.raises(rnnx.errors.InputError, match=r"do not fit together: '.+' is nobody's output"):
            TwoGraphs(step, step)
        with pytest.raises(rnnx.errors.InputError, match=r"the step has no input 'tokens'|nobody's output"):
            TwoGraphs(encoder, encoder)
    with pytest.raises(rnnx.errors.BundleExistsError):
        seq2seq.export_parts(model, tmp_path, **vocabularies)


def test_the_host_needs_no_torch():
    code = "import sys, rnnx.runtime.search, rnnx.runtime.two_graphs\nassert not {'torch', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
