"""Searches: against plain lists of hypotheses, one row at a time; and random numbers against their published ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import rnnx
from rnnx.models import search
from rnnx.models.search.threefry import high, uniform
from rnnx.runtime import search as host
from rnnx.runtime import threefry

VOCABULARY, HIDDEN, BEGIN, END = 7, 5, 1, 0


class Toy(nn.Module):
    """A decoder whose next token depends on all before it, and on its row's memory."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.embedding, self.cell = nn.Embedding(VOCABULARY, HIDDEN), nn.GRUCell(HIDDEN, HIDDEN)
            self.head = nn.Linear(HIDDEN, VOCABULARY)
            for one in self.parameters():
                nn.init.normal_(one, std=1.5)

    def forward(self, tokens, state, memory):
        h = self.cell(self.embedding(tokens) + memory["bias"], state["h"])
        return self.head(h), {"h": h}


@pytest.fixture(scope="module")
def toy():
    step = Toy().eval()
    generator = torch.Generator().manual_seed(0)
    state = {"h": torch.randn(6, HIDDEN, generator=generator)}
    memory = {"bias": torch.randn(6, HIDDEN, generator=generator)}
    with torch.no_grad():
        yield step, state, memory


def on_the_host(step):
    def numpy_step(tokens, state, memory):
        given = ({key: torch.tensor(value) for key, value in one.items()} for one in (state, memory))
        logits, after = step(torch.tensor(tokens), *given)
        return logits.numpy(), {"h": after["h"].numpy()}

    return numpy_step


def arrays(tensors):
    return {name: one.numpy() for name, one in tensors.items()}


def row_of(tensors, row):
    return {name: one[row : row + 1] for name, one in tensors.items()}


def scored(step, last, h, memory):
    logits, state = step(torch.tensor([last]), {"h": h}, memory)
    return logits[0].double().log_softmax(-1).tolist(), state["h"]


def best_by_lists(step, state, memory, *, width, penalty, limit):
    """Beam search over one row, as lists of (tokens, log-probability, ended, state)."""

    def rank(one):
        return one[1] / ((5 + len(one[0])) / 6) ** penalty

    kept = [((), 0.0, False, state["h"])]
    for _ in range(limit):
        if all(ended for _, _, ended, _ in kept):
            break
        candidates = []
        for tokens, total, ended, h in kept:
            if ended:
                candidates.append((tokens, total, ended, h))
                continue
            scores, after = scored(step, tokens[-1] if tokens else BEGIN, h, memory)
            candidates += [((*tokens, t), total + s, t == END, after) for t, s in enumerate(scores)]
        kept = sorted(candidates, key=rank, reverse=True)[:width]
    return [(tokens, rank((tokens, total, ended, h))) for tokens, total, ended, h in kept]


def test_greedy_takes_the_likeliest_token_until_the_row_ends(toy):
    step, state, memory = toy
    found = search.greedy(step, state, memory, begin=torch.full((6,), BEGIN), end=END, max_length=12, padding=5)
    lengths = set()
    for row in range(6):
        tokens, total, h = [], 0.0, state["h"][row : row + 1]
        while len(tokens) < 12 and END not in tokens:
            scores, h = scored(step, tokens[-1] if tokens else BEGIN, h, row_of(memory, row))
            tokens.append(max(range(VOCABULARY), key=scores.__getitem__))
            total += scores[tokens[-1]]
        lengths.add(len(tokens))
        assert found.tokens[row].tolist() == tokens + [5] * (found.tokens.shape[1] - len(tokens))
        assert int(found.lengths[row]) == len(tokens)
        assert math.isclose(float(found.scores[row]), total, abs_tol=1e-4)
    assert len(lengths) > 1  # some rows end before others
    assert found.tokens.shape[1] == max(lengths)


@pytest.mark.parametrize(("width", "penalty"), [(1, 0.0), (3, 0.0), (4, 0.9), (4, -0.7), (20, 0.5)])
def test_beam_search_finds_what_lists_of_hypotheses_find(toy, width, penalty):
    step, state, memory = toy
    begin = torch.full((6,), BEGIN)
    found = search.beam(
        step, state, memory, begin=begin, end=END, max_length=9, width=width, length_penalty=penalty, padding=2
    )
    for row in range(6):
        expected = best_by_lists(step, row_of(state, row), row_of(memory, row), width=width, penalty=penalty, limit=9)
        for rank, (tokens, score) in enumerate(expected):
            length = int(found.lengths[row, rank])
            assert found.tokens[row, rank, :length].tolist() == list(tokens)
            assert set(found.tokens[row, rank, length:].tolist()) <= {2}
            assert math.isclose(float(found.scores[row, rank]), score, abs_tol=1e-4)


def test_a_beam_of_one_is_greedy_and_a_wide_one_is_no_worse(toy):
    step, state, memory = toy
    rest = {"begin": torch.full((6,), BEGIN), "end": END, "max_length": 12}
    one, greedy = search.beam(step, state, memory, **rest, width=1), search.greedy(step, state, memory, **rest)
    assert torch.equal(one.tokens[:, 0], greedy.tokens)
    wide = search.beam(step, state, memory, **rest, width=6)
    assert bool((wide.scores[:, 0] >= greedy.scores - 1e-5).all())
    assert bool((wide.scores[:, 0] > greedy.scores + 1e-3).any())


def test_fewer_hypotheses_than_the_width_are_filled_up(toy):
    step, state, memory = toy
    found = search.beam(step, state, memory, begin=torch.full((6,), BEGIN), end=END, max_length=1, width=VOCABULARY + 2)
    assert bool((found.scores[:, VOCABULARY:] == -torch.inf).all())
    assert not found.lengths[:, VOCABULARY:].any()
    assert bool((found.tokens[:, VOCABULARY:] == END).all())
    assert sorted(found.tokens[0, :VOCABULARY, 0].tolist()) == list(range(VOCABULARY))


def test_the_hosts_searches_are_the_same(toy):
    step, state, memory = toy
    rest = {"end": END, "max_length": 10, "padding": 4}
    given = (on_the_host(step), arrays(state), arrays(memory))
    begin, seed = np.full(6, BEGIN), np.array([1, 2, 3, -4, 2**40, 1])
    pairs = [
        (host.greedy(*given, begin=begin, **rest), search.greedy(*toy, begin=torch.tensor(begin), **rest)),
        (
            host.beam(*given, begin=begin, **rest, width=5, length_penalty=0.8),
            search.beam(*toy, begin=torch.tensor(begin), **rest, width=5, length_penalty=0.8),
        ),
        (
            host.sample(*given, begin=begin, **rest, seed=seed, temperature=1.3, top_k=4),
            search.sample(*toy, begin=torch.tensor(begin), **rest, seed=torch.tensor(seed), temperature=1.3, top_k=4),
        ),
        (
            host.sample(*given, begin=begin, **rest, seed=seed),
            search.sample(*toy, begin=torch.tensor(begin), **rest, seed=torch.tensor(seed)),
        ),
    ]
    for found, expected in pairs:
        assert np.array_equal(found.tokens, expected.tokens.numpy())
        assert np.array_equal(found.lengths, expected.lengths.numpy())
        np.testing.assert_allclose(found.scores, expected.scores.numpy(), atol=1e-5)


def sampled(toy, seed, rows=slice(None), **options):
    step, state, memory = toy
    begin = torch.full((6,), BEGIN)[rows]
    parts = ({name: one[rows] for name, one in part.items()} for part in (state, memory))
    return search.sample(step, *parts, begin=begin, end=END, seed=seed, **options)


def test_a_seed_gives_its_row_the_same_tokens_in_any_batch(toy):
    seed = torch.arange(6) * 1000 - 3
    together = sampled(toy, seed, max_length=8)
    assert torch.equal(sampled(toy, seed, max_length=8).tokens, together.tokens)
    assert not torch.equal(sampled(toy, seed + 1, max_length=8).tokens, together.tokens)
    for row in range(6):
        alone = sampled(toy, seed[row : row + 1], slice(row, row + 1), max_length=8)
        assert alone.tokens[0].tolist() == together.tokens[row, : alone.tokens.shape[1]].tolist()


def test_samples_follow_the_probabilities(toy):
    step, state, memory = toy
    many = 4000
    state, memory = ({name: one[:1].expand(many, -1) for name, one in part.items()} for part in (state, memory))
    logits, _ = step(torch.full((1,), BEGIN), row_of(state, 0), row_of(memory, 0))
    for temperature, top_k in ((1.0, None), (2.5, 3), (0.5, 50)):
        found = search.sample(
            step,
            state,
            memory,
            begin=torch.full((many,), BEGIN),
            end=END,
            max_length=1,
            seed=torch.arange(many),
            temperature=temperature,
            top_k=top_k,
        )
        counts = torch.bincount(found.tokens[:, 0], minlength=VOCABULARY).double()
        allowed = logits[0].double().topk(min(top_k or VOCABULARY, VOCABULARY))
        share = torch.zeros(VOCABULARY, dtype=torch.float64)
        share[allowed.indices] = (allowed.values / temperature).softmax(-1)
        assert not counts[share == 0].any()
        there = share > 0
        # Pearson's statistic is about the number of tokens; three times that is one chance in thousands.
        assert float(((counts - share * many)[there] ** 2 / (share * many)[there]).sum()) < 3 * VOCABULARY


def test_no_heat_and_one_choice_are_greedy(toy):
    step, state, memory = toy
    greedy = search.greedy(step, state, memory, begin=torch.full((6,), BEGIN), end=END, max_length=8)
    for options in ({"temperature": 0.0}, {"temperature": -1.0}, {"top_k": 1}):
        assert torch.equal(sampled(toy, torch.arange(6), max_length=8, **options).tokens, greedy.tokens)


@pytest.mark.parametrize(
    ("key", "count", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_its_authors_known_answers(key, count, expected):
    for make, above in ((torch.tensor, high), (np.array, lambda number: number >> 32)):
        words = threefry.threefry(tuple(make([k]) for k in key), tuple(make([c]) for c in count), above)
        assert tuple(int(word[0]) for word in words) == expected


def test_random_numbers_are_even_and_the_same_in_numpy():
    seed = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 50_000)
    numbers = threefry.uniform(seed, np.array(3))
    assert np.array_equal(uniform(torch.tensor(seed), torch.tensor(3)).numpy(), numbers)
    assert numbers.dtype == np.float32
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert np.abs(np.histogram(numbers, 20, (0, 1))[0] - 2500).max() < 250
    assert abs(np.corrcoef(numbers, threefry.uniform(seed, np.array(4)))[0, 1]) < 0.02


def test_wrong_numbers_are_refused(toy):
    step, state, memory = toy
    given = (on_the_host(step), arrays(state), arrays(memory))
    begin = np.full(6, BEGIN)
    with pytest.raises(rnnx.errors.InputError, match="width is 0; it must be a whole number from 1"):
        host.beam(*given, begin=begin, end=END, max_length=4, width=0)
    with pytest.raises(rnnx.errors.InputError, match="max_length is 0"):
        host.greedy(*given, begin=begin, end=END, max_length=0)
    with pytest.raises(rnnx.errors.InputError, match="top_k is 0"):
        host.sample(*given, begin=begin, end=END, max_length=4, seed=begin, top_k=0)
    with pytest.raises(rnnx.errors.InputError, match="given 0; widths, lengths and choices are whole numbers from 1"):
        search.beam(step, state, memory, begin=torch.tensor(begin), end=END, max_length=4, width=0)
