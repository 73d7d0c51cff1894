"""CTC decoding against every path there is, and against torch's own loss."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnx.errors import DtypeError, InputError, ShapeError
from rnnx.runtime import ctc

INF = np.inf
WIDE = 1000


def log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def random_log_probs(seed, *shape, scale=2.0, dtype=np.float64):
    return log_softmax(np.random.default_rng(seed).normal(size=shape, scale=scale)).astype(dtype)


def collapse(path, blank):
    return tuple(one for one, _ in itertools.groupby(path) if one != blank)


def begins(path, blank):
    return [i for i, one in enumerate(path) if one != blank and (not i or path[i - 1] != one)]


def every_labelling(log_probs, blank):
    """``{tokens: (probability, best path)}`` over all paths of one row ``(time, classes)``."""
    time, classes = log_probs.shape
    totals, best = defaultdict(float), {}
    for path in itertools.product(range(classes), repeat=time):
        probability = float(np.exp(sum(log_probs[t, c] for t, c in enumerate(path))))
        tokens = collapse(path, blank)
        totals[tokens] += probability
        if probability > best.get(tokens, (-1.0, ()))[0]:
            best[tokens] = (probability, path)
    return {tokens: (total, best[tokens][1]) for tokens, total in totals.items()}


def said(hypotheses):
    return [tuple(one.tokens.tolist()) for one in hypotheses]


@st.composite
def rows(draw, max_time=5, max_classes=4):
    """One small row of log-probabilities, sometimes with classes that cannot be; and a blank."""
    time, classes = draw(st.integers(0, max_time)), draw(st.integers(1, max_classes))
    log_probs = random_log_probs(draw(st.integers(0, 10_000)), time, classes, scale=draw(st.sampled_from([0.3, 2, 8])))
    for t in range(time):
        gone = draw(st.sets(st.integers(0, classes - 1), max_size=classes - 1))
        log_probs[t, list(gone)] = -INF
    return log_probs, draw(st.integers(0, classes - 1))


@given(rows())
def test_a_wide_beam_finds_every_labelling_and_its_probability(row):
    log_probs, blank = row
    expected = {tokens: one for tokens, one in every_labelling(log_probs, blank).items() if one[0] > 0}
    (found,) = ctc.prefix_beam(log_probs[None], blank=blank, beam_width=WIDE)
    assert sorted(said(found)) == sorted(expected)
    for one, tokens in zip(found, said(found), strict=True):
        probability, path = expected[tokens]
        assert one.log_prob == pytest.approx(np.log(probability), abs=1e-9)
        assert one.score == one.log_prob
        assert one.frames.tolist() == begins(path, blank)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@given(rows())
def test_greedy_is_the_best_path(row):
    log_probs, blank = row
    (found,) = ctc.greedy(log_probs[None], blank=blank)
    path = [int(frame.argmax()) for frame in log_probs]
    assert said([found]) == [collapse(path, blank)]
    assert found.frames.tolist() == begins(path, blank)
    assert found.score == pytest.approx(sum(frame.max() for frame in log_probs))
    assert (found.tokens.dtype, found.frames.dtype) == (np.int64, np.int64)


@given(rows(max_time=6), st.integers(1, 4))
def test_a_narrow_beam_never_claims_more_than_there_is(row, width):
    log_probs, blank = row
    truth = every_labelling(log_probs, blank)
    (found,) = ctc.prefix_beam(log_probs[None], blank=blank, beam_width=width)
    assert 1 <= len(found) <= width
    assert len(set(said(found))) == len(found)
    for one, tokens in zip(found, said(found), strict=True):
        assert one.log_prob <= np.log(truth[tokens][0]) + 1e-9


def test_the_best_labelling_need_not_be_the_best_paths():
    # Graves (2006), figure 2: blank wins each frame, but the paths of "1" weigh more together.
    log_probs = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    assert said(ctc.greedy(log_probs)) == [()]
    ((best, second),) = ctc.prefix_beam(log_probs)
    assert said([best, second]) == [(1,), ()]
    assert best.log_prob == pytest.approx(np.log(0.64))
    assert second.log_prob == pytest.approx(np.log(0.36))


def test_repeats_need_a_blank_between():
    classes = np.eye(3)[[1, 1, 0, 1, 2, 2]][None]
    with np.errstate(divide="ignore"):
        log_probs = np.log(classes)
    (greedy,) = ctc.greedy(log_probs)
    ((beam,),) = ctc.prefix_beam(log_probs)
    for one in (greedy, beam):
        assert one.tokens.tolist() == [1, 1, 2]
        assert one.frames.tolist() == [0, 3, 4]
        assert one.score == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_probability_is_torchs_ctc_loss(dtype):
    import torch

    batch, time, classes, blank = 3, 12, 5, 2
    log_probs = random_log_probs(3, batch, time, classes, dtype=dtype)
    lengths = np.array([12, 7, 9])
    for row, hypotheses in enumerate(ctc.prefix_beam(log_probs, lengths, blank=blank, beam_width=400)):
        assert hypotheses[0].tokens.size > 1
        # The best few: a bounded beam loses some of the alignments of the last.
        for one in hypotheses[:3]:
            loss = torch.nn.functional.ctc_loss(
                torch.from_numpy(log_probs[row, :, None].astype(np.float64)),
                torch.from_numpy(one.tokens[None]),
                torch.tensor([int(lengths[row])]),
                torch.tensor([one.tokens.size]),
                blank=blank,
                reduction="sum",
            )
            assert one.log_prob == pytest.approx(-loss.item(), abs=1e-3)


def test_long_rows_do_not_underflow():
    log_probs = random_log_probs(5, 1, 2000, 6)
    ((best, *_),) = ctc.prefix_beam(log_probs, beam_width=2)
    (greedy,) = ctc.greedy(log_probs)
    assert np.isfinite(best.log_prob)
    assert best.log_prob > greedy.log_prob
    assert best.log_prob < -500, "far below what a double holds as a probability"


@given(st.integers(0, 10_000), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_a_ragged_batch_is_its_single_rows(seed, lengths):
    log_probs = random_log_probs(seed, len(lengths), 5, 4, dtype=np.float32)
    for row, size in enumerate(lengths):
        log_probs[row, size:] = np.nan  # padding is never read
    together = ctc.greedy(log_probs, lengths, blank=1)
    beams = ctc.prefix_beam(log_probs, np.array(lengths, np.int32), blank=1, beam_width=3)
    for row, size in enumerate(lengths):
        (alone,) = ctc.greedy(log_probs[row : row + 1, :size], blank=1)
        (beam,) = ctc.prefix_beam(log_probs[row : row + 1, :size], blank=1, beam_width=3)
        assert said([together[row]]) == said([alone])
        assert together[row].score == alone.score
        assert [(one.score, one.frames.tolist()) for one in beams[row]] == [
            (one.score, one.frames.tolist()) for one in beam
        ]
        assert said(beams[row]) == said(beam)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 9), max_size=4), st.data())
def test_any_chunks_give_the_whole_run(seed, cuts, data):
    # Two classes and long runs of each: most cuts fall within a repeat.
    log_probs = np.repeat(random_log_probs(seed, 3, 3, 2), 3, axis=1).astype(np.float32)
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=3, max_size=3))
    whole = ctc.greedy(log_probs, lengths)
    state = ctc.initial(3)
    parts = []
    edges = [0, *sorted(cuts), 9]
    for start, stop in itertools.pairwise(edges):
        before = (state.last.copy(), state.frames.copy(), state.log_probs.copy())
        kept = state
        chunk, state = ctc.greedy_step(
            log_probs[:, start:stop], state, np.clip(np.array(lengths) - start, 0, stop - start)
        )
        parts.append(chunk)
        for old, now in zip(before, (kept.last, kept.frames, kept.log_probs), strict=True):
            np.testing.assert_array_equal(old, now)
    for row in range(3):
        assert np.concatenate([one[row].tokens for one in parts]).tolist() == whole[row].tokens.tolist()
        assert np.concatenate([one[row].frames for one in parts]).tolist() == whole[row].frames.tolist()
        assert parts[-1][row].score == whole[row].score, "the same bits"
    assert state.frames.tolist() == lengths


def fused_truth(log_probs, model, weight, bonus):
    scores = {}
    for tokens, (probability, _) in every_labelling(log_probs, 0).items():
        language = sum(model(tokens[:i])[token] for i, token in enumerate(tokens))
        scores[tokens] = np.log(probability) + weight * language + bonus * len(tokens)
    return scores


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 1, 3]), st.sampled_from([-1.0, 0, 2.5]))
def test_a_language_model_and_a_bonus_join_the_score(seed, weight, bonus):
    log_probs = random_log_probs(seed, 4, 4)
    bigram = random_log_probs(seed + 1, 4, 4)

    def model(tokens):
        return bigram[tokens[-1] if tokens else 0]

    expected = fused_truth(log_probs, model, weight, bonus)
    (found,) = ctc.prefix_beam(
        log_probs[None], beam_width=WIDE, language_model=model, lm_weight=weight, insertion_bonus=bonus
    )
    assert len(found) == len(expected)
    for one, tokens in zip(found, said(found), strict=True):
        assert one.score == pytest.approx(expected[tokens], abs=1e-9)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_language_model_turns_the_answer():
    log_probs = np.log([[[0.05, 0.5, 0.45], [0.9, 0.05, 0.05]]])
    asked = []

    def model(tokens):
        asked.append(tokens)
        return np.log([1, 0.1, 0.9]) if not tokens else [0, -INF, -INF]

    assert said(ctc.prefix_beam(log_probs)[0])[0] == (1,)
    found = said(ctc.prefix_beam(log_probs, language_model=model)[0])
    assert found[0] == (2,)
    assert all(len(tokens) <= 1 for tokens in found), "a second token is forbidden"
    assert sorted(asked) == [(), (1,), (2,)]
    assert said(ctc.prefix_beam(log_probs, language_model=model, lm_weight=0)[0])[0] == (1,)
    assert len(asked) == 3, "a weightless language model is not called"


def test_a_bonus_lengthens():
    log_probs = random_log_probs(2, 1, 6, 3, scale=0.5)
    short, long = (ctc.prefix_beam(log_probs, insertion_bonus=bonus)[0][0].tokens.size for bonus in (-20.0, 5.0))
    assert (short, long) == (0, 6)


def test_pruned_classes_begin_nothing_but_the_best_always_may():
    log_probs = np.log([[[0.05, 0.75, 0.2], [0.4, 0.35, 0.25]]])
    assert {token for tokens in said(ctc.prefix_beam(log_probs)[0]) for token in tokens} == {1, 2}
    pruned = said(ctc.prefix_beam(log_probs, prune_log_prob=np.log(0.3))[0])
    assert {token for tokens in pruned for token in tokens} == {1}
    # Everything lies below the limit: the best class is taken all the same.
    assert said(ctc.prefix_beam(log_probs, prune_log_prob=0.0)[0])[0] == (1,)


def test_nothing_in_nothing_out():
    assert ctc.greedy(np.zeros((0, 5, 3))) == []
    assert ctc.prefix_beam(np.zeros((0, 5, 3))) == []
    (greedy,) = ctc.greedy(np.zeros((1, 0, 3)))
    ((beam,),) = ctc.prefix_beam(np.zeros((1, 0, 3)))
    for one in (greedy, beam):
        assert (one.tokens.tolist(), one.frames.tolist(), one.score) == ([], [], 0.0)


@pytest.fixture(params=[ctc.greedy, ctc.prefix_beam], ids=["greedy", "prefix_beam"])
def decode(request):
    return request.param


GOOD = random_log_probs(1, 2, 4, 3)


def altered(value, place=(1, 2, 0)):
    array = GOOD.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("log_probs", "options", "error", "message"),
    [
        (GOOD[0], {}, ShapeError, r"log_probs has 2 axes, shape \(4, 3\); it must have 3.*log_probs\[None\]"),
        (GOOD.astype(np.float16), {}, DtypeError, r"dtype float16; it must be float32 or float64.*astype"),
        (np.zeros((1, 2, 3), int), {}, DtypeError, "dtype int64; it must be float32"),
        (altered(np.nan), {}, InputError, r"holds nan at \(1, 2, 0\).*made NaN"),
        (altered(INF), {}, InputError, r"holds inf at \(1, 2, 0\)"),
        (
            np.exp(GOOD),
            {},
            InputError,
            r"at \(0, 0, 0\); log-probabilities are 0 or less. They look like prob.*np\.log",
        ),
        (GOOD + 5, {}, InputError, "They look like logits: pass a log_softmax"),
        (altered(-INF, (1, 2)), {}, InputError, "every class of frame 2 of row 1 is -inf"),
        (GOOD, {"blank": 3}, InputError, r"blank is 3, and log_probs has 3 classes.*0 <= blank < 3"),
        (GOOD, {"blank": -1}, InputError, "blank is -1; it must be a whole number from 0"),
        (GOOD, {"blank": True}, InputError, "blank is True; it must be a whole number"),
        (GOOD, {"lengths": [4]}, ShapeError, r"lengths have shape \(1,\); they must have shape \(2,\)"),
        (GOOD, {"lengths": [4, 5]}, InputError, "length 5 of row 1 is out of range; allowed is 0 <= length <= 4"),
        (GOOD, {"lengths": [-1, 4]}, InputError, "length -1 of row 0 is out of range"),
        (GOOD, {"lengths": [4.0, 4.0]}, DtypeError, "they must be whole numbers"),
    ],
)
def test_wrong_inputs_are_refused(decode, log_probs, options, error, message):
    with pytest.raises(error, match=message):
        decode(log_probs, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beam_width": 0}, InputError, "beam_width is 0; it must be a whole number from 1"),
        ({"beam_width": 2.0}, InputError, r"beam_width is 2\.0"),
        ({"prune_log_prob": 0.5}, InputError, r"prune_log_prob is 0\.5; it must be a log-probability"),
        ({"prune_log_prob": np.nan}, InputError, "prune_log_prob is nan"),
        ({"lm_weight": -1}, InputError, "lm_weight is -1; it must be a finite number, 0 or more"),
        ({"lm_weight": np.nan}, InputError, "lm_weight is nan"),
        ({"insertion_bonus": INF}, InputError, "insertion_bonus is inf"),
        ({"language_model": lambda _: 0.5}, ShapeError, r"gave float64 of shape \(\) after \[\].*shape \(3,\)"),
        ({"language_model": lambda _: ["a"] * 3}, ShapeError, r"language_model gave <U1 of shape \(3,\)"),
        ({"language_model": lambda _: [0, np.nan, 0]}, InputError, r"gave NaN or \+inf after \[\]"),
        ({"language_model": lambda _: [0, INF, 0]}, InputError, r"gave NaN or \+inf"),
    ],
)
def test_wrong_options_of_the_beam_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        ctc.prefix_beam(GOOD, **options)


def test_a_language_model_that_forbids_everything_is_told():
    log_probs = np.array([[[0.0, -INF, -INF], [-INF, -0.1, -3.0]]])
    with pytest.raises(InputError, match=r"forbids every prefix of the beam at frame 1 of row 0\. Raise beam_width"):
        ctc.prefix_beam(log_probs, language_model=lambda _: [0, -INF, -INF])


def test_wrong_states_are_refused():
    with pytest.raises(ShapeError, match=r"the state holds 3 rows and log_probs has 2.*begin with initial\(2\)"):
        ctc.greedy_step(GOOD, ctc.initial(3))
    with pytest.raises(InputError, match="batch is -1; it must be a whole number from 0"):
        ctc.initial(-1)
