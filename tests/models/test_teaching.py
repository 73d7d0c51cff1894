"""Teaching encoder-decoders pairs, what they then say, and what their attention looked at."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import rnnx
from rnnx.benchmarks import seq2seq_cases as cases
from rnnx.models import seq2seq
from rnnx.models.seq2seq import answering, attention_map, teaching
from rnnx.models.training import Recipe, fit, seeded


def array(*tokens):
    return np.array(tokens, dtype=np.int64)


@pytest.fixture
def pairs():
    """Sequences of 2 to 5 tokens that are to be said backwards."""
    rng = np.random.default_rng(0)
    sources = [rng.integers(2, 7, rng.integers(2, 6)) for _ in range(200)]
    return teaching.Pairs(sources=tuple(sources), targets=tuple(array(*one[::-1], 0) for one in sources))


def build():
    encoder = seq2seq.Encoder(7, 12, 16, bidirectional=True)
    decoder = seq2seq.BahdanauDecoder(7, 12, 24, value_size=32, summary_size=16)
    return seq2seq.EncoderDecoder(encoder, decoder, begin=1, end=0)


def test_an_epoch_has_each_pair_once_with_its_own_target(pairs):
    found = []
    for source, lengths, target in teaching.batches(pairs, 32)(np.random.default_rng(1)):
        assert len(source) <= 32
        assert source.dtype == lengths.dtype == target.dtype == torch.int64
        for row, length, answer in zip(source, lengths, target, strict=True):
            said = answer[answer != -100].tolist()
            assert (answer[len(said) :] == -100).all()
            assert said == [*row[:length].tolist()[::-1], 0]
            found.append(tuple(row[:length].tolist()))
    assert sorted(found) == sorted(tuple(one.tolist()) for one in pairs.sources)


def test_the_loss_is_that_of_the_target_s_own_tokens():
    with seeded(0):
        model = build().eval()
    batch = (
        torch.tensor([[2, 3, 4], [5, 6, 2]]),
        torch.tensor([3, 2]),
        torch.tensor([[4, 3, 2, 0], [6, 0, -100, -100]]),
    )
    value, state = teaching.loss()(model, batch, None)
    assert state is None
    expected = []
    for row, length, wanted in ((0, 3, [4, 3, 2, 0]), (1, 2, [6, 0])):
        logits = model(batch[0][row : row + 1, :length], torch.tensor([length]), torch.tensor([wanted]))
        shares = logits.log_softmax(-1)[0]
        expected += [-shares[t, token] for t, token in enumerate(wanted)]
    torch.testing.assert_close(value, torch.stack(expected).mean())
    smoothed, _ = teaching.loss(0.5)(model, batch, None)
    assert not torch.isclose(smoothed, value)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(rnnx.errors.InputError, match="1 sources for 2 targets"):
        teaching.Pairs(sources=(array(1),), targets=(array(0), array(0)))
    with pytest.raises(rnnx.errors.InputError, match="0 sources for 0 targets"):
        teaching.Pairs(sources=(), targets=())
    with pytest.raises(rnnx.errors.InputError, match="a source or a target has no token"):
        teaching.Pairs(sources=(array(),), targets=(array(0),))


def test_it_learns_to_say_backwards_and_says_so(pairs):
    with seeded(0):
        model = build()
    recipe = Recipe(steps=150, batch_size=32, learning_rate=2e-2)
    fit(model, teaching.batches(pairs, 32), teaching.loss(), recipe)
    said = answering.answer_greedily(model, pairs.sources[:60], max_length=9, batch_size=16)
    right = [answer == tuple(one[::-1].tolist()) for answer, one in zip(said, pairs.sources[:60], strict=True)]
    assert np.mean(right) > 0.9
    alone = answering.answer_greedily(model, pairs.sources[7:8], max_length=9)
    assert alone == said[7:8]


def test_a_search_that_was_cut_off_keeps_its_last_token():
    runner = SimpleNamespace(
        run=lambda inputs: {
            "tokens": np.stack([np.stack([[4, 5, 0], [9, 9, 9]])] * len(inputs["source"])),
            "lengths_out": np.array([[int(length), 3] for length in inputs["lengths"]]),
        }
    )
    found = answering.answer(runner, [array(2, 2, 2), array(3, 3)], end=0, options={"beam_width": 2})
    assert found == [(4, 5), (4, 5)]  # three tokens of which the last one ends, and two that were cut off


def test_options_go_in_as_scalars_and_batches_are_of_like_length():
    seen = []

    def run(inputs):
        seen.append(inputs)
        rows = len(inputs["source"])
        return {"tokens": inputs["source"][:, None, :1], "lengths_out": np.ones((rows, 1), np.int64)}

    options = {"max_length": 5, "length_penalty": 0.5}
    sources = [array(4, 4, 4), array(5), array(6, 6), array(7)]
    found = answering.answer(SimpleNamespace(run=run), sources, end=0, options=options, batch_size=2)
    assert found == [(4,), (5,), (6,), (7,)]
    assert [one["lengths"].tolist() for one in seen] == [[1, 1], [2, 3]]
    assert (seen[0]["max_length"].dtype, seen[0]["length_penalty"].dtype) == (np.int64, np.float32)
    assert seen[0]["max_length"].shape == ()


def test_attention_is_told_of_decoders_that_have_it():
    model = cases.bahdanau().eval()
    source, lengths, target = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]), torch.tensor([[3, 4], [5, 6]])
    weights = seq2seq.align(model, source, lengths, target)
    assert weights.shape == (2, 2, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2))
    assert weights[1, :, 2].tolist() == [0, 0]
    state, memory = model.decoder.begin(model.encoder(source, lengths))
    _, state = model.decoder.step(torch.full((2,), cases.BEGIN), state, memory)
    _, second = model.decoder.attention(state["h"], memory["keys"], memory["values"], memory["lengths"])
    torch.testing.assert_close(weights[:, 1], second)
    with pytest.raises(rnnx.errors.InputError, match="a ChoDecoder, which has no additive attention"):
        seq2seq.align(cases.cho(), source, lengths, target)


def test_dropout_is_of_training_alone():
    with seeded(0):
        encoder = seq2seq.Encoder(7, 12, 16, dropout=0.5)
        decoder = seq2seq.BahdanauDecoder(7, 12, 24, value_size=16, summary_size=16, dropout=0.5)
    model = seq2seq.EncoderDecoder(encoder, decoder, begin=1, end=0)
    given = torch.tensor([[2, 3]]), torch.tensor([2]), torch.tensor([[4, 0]])
    assert not torch.equal(model(*given), model(*given))
    model.eval()
    assert torch.equal(model(*given), model(*given))


def test_an_attention_map_has_a_row_for_each_token_and_the_end(monkeypatch):
    drawn = {}

    def heatmap(values, *, columns, rows):
        drawn.update(values=values, columns=columns, rows=rows)
        return b"PNG"

    monkeypatch.setattr(attention_map, "heatmap", heatmap)
    model = cases.bahdanau().eval()
    picture = attention_map.attention_map(model, [1, 2, 3], [4, 5], columns=list("abc"), rows=["x", "y"], about="why")
    assert picture.png == b"PNG"
    assert picture.about.startswith("why Worked out by the PyTorch module")
    assert (drawn["columns"], drawn["rows"]) == (list("abc"), ["x", "y", "(end)"])
    expected = seq2seq.align(model, torch.tensor([[1, 2, 3]]), torch.tensor([3]), torch.tensor([[4, 5, cases.END]]))
    np.testing.assert_array_equal(drawn["values"], expected[0].numpy())
