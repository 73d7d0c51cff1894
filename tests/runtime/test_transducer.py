"""Greedy transducer decoding against one row at a time in plain Python, with a GRU and a joint network in NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnx.errors import DtypeError, InputError, ShapeError
from rnnx.runtime import transducer

FEATURES, HIDDEN, CLASSES = 3, 4, 5
INF = np.inf


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Networks:
    """A prediction GRU whose state is ``h (1, batch, hidden)`` and a count ``(batch,)``, and an additive joint."""

    def __init__(self, seed=0, blank_bias=0.0, dtype=np.float32):
        rng = np.random.default_rng(seed)
        self.embedding = rng.normal(size=(CLASSES, HIDDEN), scale=2).astype(dtype)
        self.gates = rng.normal(size=(3, 2 * HIDDEN, HIDDEN)).astype(dtype)
        self.encoder = rng.normal(size=(FEATURES, HIDDEN), scale=2).astype(dtype)
        self.output = rng.normal(size=(HIDDEN, CLASSES), scale=2).astype(dtype)
        self.bias = np.zeros(CLASSES, dtype)
        self.bias[0] = blank_bias
        self.dtype = dtype
        self.rows = []  # how many rows each call of predict had
        self.joins = 0

    def state(self, batch):
        return {"h": np.zeros((1, batch, HIDDEN), self.dtype), "said": np.zeros(batch, np.int64)}

    def cell(self, token, h):
        """One step of one row: GRU as in Cho et al. (2014)."""
        x = self.embedding[token]
        both = np.concatenate((x, h))
        z, r = sigmoid(both @ self.gates[0]), sigmoid(both @ self.gates[1])
        return (1 - z) * np.tanh(np.concatenate((x, r * h)) @ self.gates[2]) + z * h

    def logits(self, frame, h):
        return np.tanh(frame @ self.encoder + h) @ self.output + self.bias

    def predict(self, tokens, state):
        assert tokens.dtype == np.int64
        assert tokens.shape == (state["said"].size, 1)
        self.rows.append(len(tokens))
        h = np.zeros_like(state["h"])
        for row, token in enumerate(tokens[:, 0]):
            h[0, row] = self.cell(token, state["h"][0, row])
        return h[0][:, None], {"h": h, "said": state["said"] + 1}

    def join(self, frames, predicted):
        assert frames.shape[1:] == (1, FEATURES)
        assert predicted.shape == (len(frames), 1, HIDDEN)
        self.joins += 1
        return np.stack([self.logits(f[0], p[0]) for f, p in zip(frames, predicted, strict=True)])[:, None, None]

    def options(self, batch):
        return {
            "predict": self.predict,
            "join": self.join,
            "initial_state": self.state(batch),
            "batch_axis": {"h": 1, "said": 0},
        }

    def reference(self, row, blank=0, start=0, limit=10):
        """Tokens, frames and log-probability of one row ``(time, features)``."""
        h = self.cell(start, np.zeros(HIDDEN, self.dtype))
        tokens, frames, total = [], [], 0.0
        for index, frame in enumerate(row):
            for _ in range(limit):
                logits = [float(one) for one in self.logits(frame, h)]
                best = max(range(CLASSES), key=logits.__getitem__)
                total += logits[best] - math.log(sum(math.exp(one) for one in logits))
                if best == blank:
                    break
                tokens.append(best)
                frames.append(index)
                h = self.cell(best, h)
        return tokens, frames, total


def encoded_rows(seed, batch, time, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(batch, time, FEATURES)).astype(dtype)


def plain(one):
    return one.tokens.tolist(), one.frames.tolist()


cases = st.tuples(st.integers(0, 10_000), st.sampled_from([-1.0, 1.0, 3.0]), st.integers(1, 4), st.integers(0, 4))


@given(cases, st.data())
def test_every_row_is_the_references(case, data):
    seed, bias, limit, blank = case
    networks = Networks(seed, bias)
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    encoded = encoded_rows(seed, len(lengths), 6)
    for row, size in enumerate(lengths):
        encoded[row, size:] = np.nan  # padding is never read
    start = data.draw(st.sampled_from([None, 2]))
    found = transducer.greedy(
        encoded,
        **networks.options(len(lengths)),
        lengths=lengths,
        blank=blank,
        start_token=start,
        max_symbols_per_frame=limit,
    )
    assert len(found) == len(lengths)
    for row, size in enumerate(lengths):
        tokens, frames, total = networks.reference(encoded[row, :size], blank, blank if start is None else start, limit)
        assert plain(found[row]) == (tokens, frames)
        assert found[row].log_prob == pytest.approx(total, abs=1e-4)
        assert found[row].score == found[row].log_prob
        assert (found[row].tokens.dtype, found[row].frames.dtype) == (np.int64, np.int64)


def test_the_cases_say_something():
    """The property above is worth little if most rows are silent or run into the limit."""
    counts = []
    for seed in range(20):
        networks = Networks(seed, 3.0)
        for one in transducer.greedy(encoded_rows(seed, 3, 6), **networks.options(3)):
            counts.append(one.tokens.size)
            assert one.tokens.size == 0 or 0 not in one.tokens
    assert sum(0 < one < 60 for one in counts) > 30
    assert len(set(counts)) > 5


@given(cases)
def test_a_batch_is_its_single_rows(case):
    seed, bias, limit, blank = case
    networks = Networks(seed, bias)
    encoded = encoded_rows(seed, 3, 5)
    options = {"blank": blank, "max_symbols_per_frame": limit}
    together = transducer.greedy(encoded, **networks.options(3), **options)
    for row in range(3):
        (alone,) = transducer.greedy(encoded[row : row + 1], **networks.options(1), **options)
        assert plain(alone) == plain(together[row])
        assert alone.score == together[row].score


@settings(max_examples=60)
@given(cases, st.lists(st.integers(0, 7), max_size=4), st.lists(st.integers(0, 7), min_size=3, max_size=3))
def test_any_chunks_give_the_whole_run(case, cuts, lengths):
    seed, bias, limit, blank = case
    networks = Networks(seed, bias)
    encoded = encoded_rows(seed, 3, 7)
    models = {"predict": networks.predict, "join": networks.join, "max_symbols_per_frame": limit}
    options = networks.options(3)
    whole = transducer.greedy(encoded, **options, lengths=lengths, blank=blank, max_symbols_per_frame=limit)
    del options["join"]
    state = transducer.initial(3, **options, blank=blank)
    parts = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), 7]):
        sizes = np.clip(np.array(lengths) - start, 0, stop - start)
        chunk, after = transducer.greedy_step(encoded[:, start:stop], state, **models, lengths=sizes)
        # A state is a value: the same step from it gives the same again.
        again, _ = transducer.greedy_step(encoded[:, start:stop], state, **models, lengths=sizes)
        assert [plain(one) for one in chunk] == [plain(one) for one in again]
        parts.append(chunk)
        state = after
    for row in range(3):
        joined = [np.concatenate([getattr(one[row], name) for one in parts]).tolist() for name in ("tokens", "frames")]
        assert joined == list(plain(whole[row]))
        assert parts[-1][row].score == whole[row].score, "the same bits"
        # The prediction network has heard the start and every token of its own row, and nothing else.
        assert state.state["said"][row] == 1 + whole[row].tokens.size
        assert state.last[row] == (whole[row].tokens[-1] if whole[row].tokens.size else blank)
    assert state.frames.tolist() == lengths


def test_rows_do_not_wait_for_each_other():
    networks = Networks(0)
    # Frames say how many tokens they still want: row 0 wants its three at the first frame, row 1 at the last.
    wants = np.zeros((2, 4, FEATURES), np.float32)
    wants[0, 0], wants[1, 3] = 3, 3
    said = {"n": np.zeros(2)}

    def predict(tokens, state):
        networks.rows.append(len(tokens))
        n = state["n"] + (tokens[:, 0] == 1)
        return n[:, None, None], {"n": n}

    def join(frames, predicted):
        networks.joins += 1
        more = predicted[:, 0, 0] < frames[:, 0, 0]
        return np.where(more[:, None], [0, 5, 0], [5, 0, 0])

    found = transducer.greedy(wants, predict=predict, join=join, initial_state=said)
    assert [plain(one) for one in found] == [([1, 1, 1], [0, 0, 0]), ([1, 1, 1], [3, 3, 3])]
    assert networks.joins == 4 + 3, "as many as one row alone"
    assert networks.rows == [2, 1, 1, 1, 1, 1, 1], "only the rows that emitted"
    assert said["n"].tolist() == [0, 0], "the caller's state is untouched"


@pytest.mark.parametrize("limit", [1, 3])
def test_a_frame_ends_after_its_symbols(limit):
    networks = Networks(0, blank_bias=-100.0)  # never a blank
    (found,) = transducer.greedy(encoded_rows(0, 1, 4), **networks.options(1), max_symbols_per_frame=limit)
    assert found.frames.tolist() == sorted(list(range(4)) * limit)
    assert networks.joins == 4 * limit


def test_a_prediction_network_may_have_no_state_and_the_joint_any_scale():
    table = np.random.default_rng(1).normal(size=(CLASSES, 1, 2))

    def join(frames, predicted):
        return (frames[:, 0] @ np.ones((FEATURES, CLASSES)) + predicted[:, 0] @ np.ones((2, CLASSES))) * [
            1,
            2,
            3,
            -1,
            0,
        ]

    def shifted(frames, predicted):
        return join(frames, predicted) + 1000

    both = [
        transducer.greedy(
            encoded_rows(4, 2, 5, np.float64), predict=lambda t, s: (table[t[:, 0]], s), join=one, initial_state={}
        )
        for one in (join, shifted)
    ]
    for first, second in zip(*both, strict=True):
        assert plain(first) == plain(second)
        assert first.log_prob == pytest.approx(second.log_prob, abs=1e-9)
        assert np.isfinite(first.log_prob)


def test_classes_may_be_impossible():
    logits = np.array([[-INF, 0.0, -INF]])
    (found,) = transducer.greedy(
        np.zeros((1, 2, 1)),
        predict=lambda t, s: (np.zeros((len(t), 1, 1)), s),
        join=lambda f, _: logits,
        initial_state={},
        max_symbols_per_frame=2,
    )
    assert (found.tokens.tolist(), found.log_prob) == ([1, 1, 1, 1], 0.0)


def test_answers_in_reused_buffers_do_not_reach_back_into_a_state():
    networks = Networks(3, 1.0)
    buffers = {"p": np.zeros((1, 1, HIDDEN), np.float32), "h": np.zeros((1, 1, HIDDEN), np.float32)}

    def predict(tokens, state):
        predicted, after = networks.predict(tokens, {**state, "said": np.zeros(len(tokens), np.int64)})
        buffers["p"][...], buffers["h"][...] = predicted, after["h"]
        return buffers["p"], {"h": buffers["h"]}

    encoded = encoded_rows(3, 1, 6)
    state = transducer.initial(
        1, predict=predict, initial_state={"h": np.zeros((1, 1, HIDDEN), np.float32)}, batch_axis=1
    )
    first, second = (
        transducer.greedy_step(encoded, state, predict=predict, join=networks.join)[0][0] for _ in range(2)
    )
    assert first.tokens.size > 0
    assert plain(first) == plain(second)
    assert plain(first) == tuple(networks.reference(encoded[0])[:2])


def test_nothing_in_nothing_out():
    networks = Networks(0)
    (found,) = transducer.greedy(np.zeros((1, 0, FEATURES)), **networks.options(1))
    assert (plain(found), found.score) == (([], []), 0.0)
    assert networks.joins == 0
    assert transducer.greedy(np.zeros((0, 3, FEATURES)), **networks.options(0)) == []


def run(encoded=None, batch=2, **changes):
    networks = Networks(0)
    options = {**networks.options(batch), **changes}
    return transducer.greedy(encoded_rows(0, batch, 4) if encoded is None else encoded, **options)


def answering(predicted=None, **state):
    """The prediction network with one part of its answer changed."""
    networks = Networks(0)

    def predict(tokens, given):
        answer, after = networks.predict(tokens, given)
        changed = {name: change(after[name]) for name, change in state.items()}
        return (predicted or (lambda x: x))(answer), {**after, **changed}

    return predict


class Changing:
    """A prediction network whose answers change after the first."""

    def __init__(self, change):
        self.networks, self.change, self.calls = Networks(0, -100.0), change, 0

    def __call__(self, tokens, state):
        self.calls += 1
        predicted, after = self.networks.predict(tokens, state)
        return (predicted if self.calls == 1 else self.change(predicted)), after


LOUD = Networks(0, -100.0).join


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"encoded": np.zeros((4, FEATURES))}, ShapeError, r"encoded has 2 axes, shape \(4, 3\).*encoded\[None\]"),
        ({"encoded": np.zeros((2, 4, FEATURES), int)}, DtypeError, "encoded has dtype int64; it must be float32"),
        ({"lengths": [4, 9]}, InputError, "length 9 of row 1 is out of range; allowed is 0 <= length <= 4"),
        ({"lengths": [4]}, ShapeError, r"lengths have shape \(1,\)"),
        ({"blank": -1}, InputError, "blank is -1; it must be a whole number from 0"),
        ({"blank": 7, "start_token": 0}, InputError, "blank is 7, and join gave 5 classes; allowed is 0 <= blank < 5"),
        ({"start_token": 1.5}, InputError, r"start_token is 1\.5"),
        ({"max_symbols_per_frame": 0}, InputError, "max_symbols_per_frame is 0; it must be a whole number from 1"),
        ({"initial_state": [1]}, InputError, "the state is a list; it must be a mapping of names to arrays"),
        ({"initial_state": {"h": 1.0, "said": 2}}, InputError, "state 'h' is a float; it must be a NumPy array"),
        ({"initial_state": Networks(0).state(3)}, ShapeError, r"state 'h' has 3 rows on axis 1.*the batch has 2"),
        ({"batch_axis": 0}, ShapeError, r"state 'h' has 1 rows on axis 0, shape \(1, 2, 4\).*batch_axis=1"),
        ({"batch_axis": 1}, ShapeError, r"state 'said' has shape \(2,\), and so no batch axis 1"),
        ({"batch_axis": {"h": 1}}, InputError, r"batch_axis names \['h'\], the state \['h', 'said'\]"),
        ({"predict": answering(lambda x: x[:, 0])}, ShapeError, r"gave shape \(2, 4\) for 2 rows; it must give \(2, 1"),
        (
            {"predict": answering(h=lambda x: x[0])},
            ShapeError,
            r"state 'h' of shape \(2, 4\); it must have \(1, 2, 4\)",
        ),
        ({"predict": answering(h=np.float64)}, DtypeError, "gave state 'h' as float64; it must be float32"),
        ({"predict": lambda t, s: (np.zeros((2, 1, 4)), None)}, InputError, "gave the state NoneType; it must give"),
        ({"predict": lambda t, s: (np.zeros((2, 1, 4)), {"h": s["h"]})}, InputError, r"gave the state \['h'\]"),
        ({"predict": Changing(np.float64), "join": LOUD}, DtypeError, "predict gave float64, and float32 before"),
        ({"predict": Changing(lambda x: x[..., :2]), "join": LOUD}, ShapeError, r"it must give \(2, 1, 4\)"),
        ({"join": lambda f, p: np.zeros((2, 1, CLASSES))}, ShapeError, r"join gave shape \(2, 1, 5\) for 2 rows"),
        (
            {"join": lambda f, p: np.zeros((1, CLASSES))},
            ShapeError,
            r"must give \(2, 1, 1, classes\) or \(2, classes\)",
        ),
        ({"join": lambda f, p: np.full((2, CLASSES), np.nan)}, InputError, "join gave NaN"),
        ({"join": lambda f, p: np.full((2, CLASSES), -INF)}, InputError, "-inf for every class"),
    ],
)
def test_wrong_use_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        run(**changes)


def test_a_state_of_another_batch_is_refused():
    networks = Networks(0)
    options = networks.options(3)
    del options["join"]
    state = transducer.initial(3, **options)
    with pytest.raises(ShapeError, match=r"the state holds 3 rows and encoded has 2.*begin with initial\(2, \.\.\.\)"):
        transducer.greedy_step(encoded_rows(0, 2, 4), state, predict=networks.predict, join=networks.join)
