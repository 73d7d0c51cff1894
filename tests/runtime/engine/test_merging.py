"""One scale for a whole batch: who may share a run where activations are quantized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import rnnx
from rnnx.exporters import export
from rnnx.exporters.quantization.quantize import quantize
from rnnx.runtime.comparison import compare, scale_of
from rnnx.runtime.engine import Engine
from rnnx.runtime.engine.merging import Merger


def key(merger, *values):
    return merger.place({"x": np.array([values], np.float32)}).key


def test_loudness_decides_where_one_scale_serves_all(make_fake):
    signature = make_fake().signature
    merger = Merger(signature, streaming=False, operators={"DynamicQuantizeLSTM": 2})
    assert merger.one_scale
    assert key(merger, 1.0, 0) == key(merger, -1.3, 0.1)
    assert key(merger, 1.0, 0) != key(merger, 1.5, 0)
    assert key(merger, 1.0, 0) != key(merger, 0, 0)
    assert key(merger, 0, 0) == key(merger, -0.0, 0)
    for bad in (np.nan, np.inf, -np.inf):
        assert key(merger, 1.0, bad) is None
    plain = Merger(signature, streaming=False, operators={"LSTM": 2})
    assert not plain.one_scale
    assert key(plain, 1.0, 0) == key(plain, 100.0, np.nan)


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """An LSTM in int8, both modes."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("int8") / "lstm.rnnx"
    export(torch.nn.LSTM(20, 32, batch_first=True).eval(), inputs={"input": "float32[batch, time, 20]"}, out=path)
    quantize(path)
    return path


@pytest.mark.parametrize("mode", ["offline", "streaming"])
def test_int8_answers_do_not_depend_on_the_company(int8, mode):
    random = np.random.default_rng(1)
    requests = [random.standard_normal((1, 6, 20)).astype(np.float32) * loud for loud in (1, 1, 1, 1, 10, 100, 0.1)]
    requests.append(np.full((1, 6, 20), np.nan, np.float32))
    with (
        rnnx.load(int8, provider="cpu", precision="int8", mode=mode, threads=1) as session,
        Engine(session, max_delay_ms=20) as engine,
    ):
        assert "DynamicQuantizeLSTM" in session.variant.operators
        streams = mode == "streaming"
        assert not any("one by one" in note for note in engine.notes)
        options = [{"state": session.initial_state()} if streams else {} for _ in requests]
        futures = [engine.submit({"input": x}, **more) for x, more in zip(requests, options, strict=True)]
        answers = [one.result(30) for one in futures]
        for x, more, answer in zip(requests[:-1], options, answers, strict=False):
            expected = session.step({"input": x}, more["state"])[0] if streams else session.run({"input": x})
            for name, reference in expected.items():
                found = compare(
                    reference, answer.outputs[name], tolerance=session.variant.tolerance, scale=scale_of([reference])
                )
                assert found.passed, (name, found)
        assert max(one.batch for one in answers) > 1
        assert answers[-1].batch == 1
        if streams:  # a stream whose state is spoilt stays alone
            begun = answers[0].state
            nan = replace(begun, values={name: array * np.nan for name, array in begun.values.items()})
            futures = [engine.submit({"input": requests[0]}, state=state) for state in (nan, begun, begun)]
            assert [one.result(30).batch for one in futures] == [1, 2, 2]
