"""Every batched answer is the single answer: ragged requests and streams in any order, through real models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnx
from rnnx.manifest import BEGUN
from rnnx.runtime.comparison import compare, scale_of
from rnnx.runtime.engine import Engine
from rnnx.runtime.engine.running import Runner

SETTINGS = {"deadline": None, "derandomize": True, "max_examples": 25}


def assert_equal(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, reference in expected.items():
        difference = compare(reference, found[name], tolerance=tolerance, scale=scale_of([reference]))
        assert difference.passed, (name, difference)


@st.composite
def ragged(draw, least):
    """Requests as (rows, time, length of each row or None, client)."""
    requests = []
    for _ in range(draw(st.integers(2, 12))):
        rows, time = draw(st.integers(1, 3)), draw(st.integers(least, 14))
        lengths = draw(st.none() | st.lists(st.integers(least, time), min_size=rows, max_size=rows))
        requests.append((rows, time, lengths, draw(st.sampled_from("abc"))))
    return requests


@pytest.mark.parametrize(("name", "least", "padding"), [("packed", 1, 8.0), ("strided", 2, 2.0), ("gru", 1, 2.0)])
def test_ragged_requests(load, name, least, padding):
    session = load(name)
    (x, *_), has_lengths = session.signature.inputs, bool(session.signature.lengths)
    shared = []

    @settings(**SETTINGS)
    @given(plan=ragged(least), seed=st.integers(0, 2**32 - 1))
    def check(plan, seed):
        random = np.random.default_rng(seed)
        requests = [
            (
                {x.name: random.standard_normal((rows, time, 3)).astype(np.float32)},
                lengths if has_lengths else None,
                who,
            )
            for rows, time, lengths, who in plan
        ]
        with Engine(session, max_delay_ms=2, max_batch=7, padding=padding, probe=False) as engine:
            futures = [engine.submit(inputs, lengths, client=who) for inputs, lengths, who in requests]
            answers = [one.result(30) for one in futures]
            shared.append(engine.statistics())
        for (inputs, lengths, _), answer in zip(requests, answers, strict=True):
            assert_equal(answer.outputs, session.run(inputs, lengths), session.variant.tolerance)

    check()
    assert max(max(one.batch_rows) for one in shared) > 3, "nothing was batched, so nothing was tried"
    assert any(one.padded > one.used for one in shared) is has_lengths
    with Engine(session) as engine:  # the probe finds what the signature says
        assert engine.notes == (
            () if has_lengths else ("requests of different sizes do not share a run: the variant has no lengths",)
        )


def test_two_lengths_time_first_and_flags(pair):
    with rnnx.load(pair, provider="cpu") as session, Engine(session, max_delay_ms=20) as engine:
        assert engine.notes == ()
        random = np.random.default_rng(3)
        requests = []
        for rows, time, steps in ((1, 2, 3), (2, 4, 2), (1, 4, 4), (1, 2, 0)):
            inputs = {
                "source": random.standard_normal((time, rows, 2)).astype(np.float32),
                "target": random.standard_normal((rows, steps)).astype(np.float32),
                "keep": random.integers(0, 2, rows).astype(bool),
            }
            lengths = {"source_lengths": [time - 1] * rows, "target_lengths": [steps] * rows}
            requests.append((inputs, lengths))
        futures = [engine.submit(*one) for one in requests]
        answers = [one.result(30) for one in futures]
        for one, answer in zip(requests, answers, strict=True):
            assert_equal(answer.outputs, session.run(*one), session.variant.tolerance)
        assert [one.batch for one in answers] == [4, 4, 4, 1]  # what has no steps runs alone


def test_tokens_are_padded_within_their_range(tokens):
    with rnnx.load(tokens, provider="cpu") as session, Engine(session, max_delay_ms=20) as engine:
        assert engine.notes == ()
        requests = [{"tokens": np.full((1, time), 5)} for time in (2, 4, 3)]
        answers = [one.result(30) for one in [engine.submit(one) for one in requests]]
        for one, answer in zip(requests, answers, strict=True):
            assert_equal(answer.outputs, session.run(one), session.variant.tolerance)
        assert answers[0].batch == 3
        assert answers[0].outputs["seen"].dtype == np.int32


@st.composite
def streams(draw):
    """Streams as (rows, chunks), the chunks as numbers of frames; how each ends: with its last chunk or behind it."""
    return [
        (draw(st.integers(1, 2)), draw(st.lists(st.integers(1, 3), min_size=1, max_size=6)), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 8)))
    ]


@pytest.mark.parametrize("name", ["lstm", "stacked", "ahead"])
def test_streams_of_many_clients(load, name):
    session, whole = load(name, "streaming"), load(name)
    x = session.stream_inputs[0]
    output = whole.signature.outputs[0].name
    reports = []

    @settings(**SETTINGS)
    @given(plan=streams(), seed=st.integers(0, 2**32 - 1))
    def check(plan, seed):
        random = np.random.default_rng(seed)
        inputs = [random.standard_normal((rows, sum(chunks), 3)).astype(np.float32) for rows, chunks, _ in plan]
        parts = [[] for _ in plan]
        states = [session.initial_state(rows) for rows, _, _ in plan]
        places = [0] * len(plan)
        with Engine(session, max_delay_ms=2, max_batch=6, probe=False, on_batch=reports.append) as engine:
            for turn in range(7):
                futures = {}
                for number in random.permutation(len(plan)).tolist():
                    chunks, with_last = plan[number][1:]
                    begin, last = places[number], turn == len(chunks) - 1
                    if turn < len(chunks):
                        places[number] += chunks[turn]
                        chunk = {x: inputs[number][:, begin : places[number]]}
                        finish = last and with_last
                    elif turn == len(chunks) and not with_last:
                        chunk, finish = {}, True
                    else:
                        continue
                    futures[number] = engine.submit(chunk, state=states[number], finish=finish, outputs=[output])
                for number, future in futures.items():
                    answer = future.result(30)
                    parts[number].append(answer.outputs[output])
                    states[number] = answer.state
        assert all(state is None for state in states)
        for number, given_x in enumerate(inputs):
            expected = whole.run({x: given_x}, outputs=[output])
            found = {output: np.concatenate(parts[number], 1)}
            assert_equal(found, expected, session.variant.tolerance)

    check()
    assert max(one.rows for one in reports) > 3, "nothing was batched, so nothing was tried"
    assert not any(one.retried for one in reports), "streams at different points were put together"
    assert any(state.name == BEGUN for state in session.signature.states) is (name == "ahead")


def test_states_stay_values_and_own_their_arrays(load):
    session = load("lstm", "streaming")
    x = np.random.default_rng(0).standard_normal((1, 2, 3)).astype(np.float32)
    with Engine(session, max_delay_ms=20) as engine:
        first = session.initial_state()
        before = {name: array.copy() for name, array in first.values.items()}
        answers = [one.result(30) for one in [engine.submit({"input": x * n}, state=first) for n in range(3)]]
    assert answers[0].batch == 3
    for name, array in first.values.items():
        np.testing.assert_array_equal(array, before[name])
    arrays = [array for one in answers for array in one.state.values.values()]
    assert all(array.base is None for array in arrays)
    for n, answer in enumerate(answers):
        outputs, state = session.step({"input": x * n}, first)
        assert_equal(answer.outputs, outputs, session.variant.tolerance)
        assert_equal(answer.state.values, state.values, session.variant.tolerance)


def test_wrong_use_of_streams(load):
    session = load("lstm", "streaming")
    x = np.zeros((1, 2, 3), np.float32)
    with Engine(session) as engine:
        with pytest.raises(rnnx.errors.InputError, match="needs its state"):
            engine.submit({"input": x})
        with pytest.raises(rnnx.errors.StateError, match="belongs to"):
            engine.submit({"input": x}, state=load("gru", "streaming").initial_state())
        with pytest.raises(rnnx.errors.ShapeError, match="axis 'batch' is"):
            engine.submit({"input": x}, state=session.initial_state(2))
        with pytest.raises(rnnx.errors.InputError, match="'nothing' is not known; a stream's chunk is answered by"):
            engine.submit({"input": x}, state=session.initial_state(), outputs=["nothing"])
        with pytest.raises(rnnx.errors.VariantError, match="whole sequences"):
            engine.map([])


def test_streams_that_have_begun_do_not_meet_those_that_have_not(load):
    session = load("ahead", "streaming")
    x = {"x": np.zeros((1, 1, 3), np.float32)}
    _, fresh = session.step(x, session.initial_state())  # its only frame waits
    begun = replace(fresh, values={**fresh.values, BEGUN: np.ones_like(fresh.values[BEGUN])})
    runner = Runner(session)
    keys = [runner.request(x, state=state).place.key for state in (fresh, fresh, begun)]
    assert keys[0] == keys[1] != keys[2]
