"""Peers that run the source itself: made ready for each set of inputs, and what a reader is told of them."""

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from rnnx.benchmarks.bench.candidates import Spec
from rnnx.benchmarks.bench.request import Origin
from rnnx.benchmarks.bench.torch_peers import TorchPeer
from rnnx.runtime.session import load


def peer(tiny, engine):
    spec = Spec(engine=engine, precision="fp32", provider="cpu", mode="offline", threads=1)
    return TorchPeer(spec, Origin(bundle=tiny.bundle, source=tiny.source, checkpoint=tiny.checkpoint))


@pytest.mark.parametrize(
    ("engine", "note"),
    [
        ("torch", ""),
        ("torchscript", "scripted"),
        pytest.param("torch-compile", "torch.compile leaves LSTM to eager", marks=pytest.mark.slow),
    ],
)
def test_every_shape_gets_the_bundles_answers_on_the_threads_asked_for(tiny, engine, note):
    before = torch.get_num_threads()
    ready = peer(tiny, engine)
    try:
        torch.set_num_threads(2)
        with load(tiny.bundle, provider="cpu", threads=1) as session:
            for batch, time in ((1, 1), (3, 7), (1, 4)):
                x = np.random.default_rng(batch).standard_normal((batch, time, 3)).astype(np.float32)
                prepared = ready.prepare({"x": x})
                prepared.call()
                expected, found = session.run({"x": x}), prepared.outputs()
                assert found.keys() == expected.keys()
                for name, array in expected.items():
                    np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6)
        assert torch.get_num_threads() == 1
        assert ready.note == note
    finally:
        torch.set_num_threads(before)
        ready.close()


class Plain(torch.nn.Module):
    """Something that torch.compile takes as a whole, which it does not do with recurrent layers."""

    def forward(self, x):
        return torch.tanh(x)


@pytest.mark.slow
def test_a_model_is_compiled_anew_for_each_shape(tiny):
    """Beyond eight shapes torch.compile goes back to eager without a word, which would be measured as if compiled."""
    ready = peer(tiny, "torch-compile")
    ready._module = Plain()
    for time in range(1, 11):
        counters.clear()
        ready.prepare({"x": np.zeros((1, time, 3), np.float32)})
        assert counters["stats"]["unique_graphs"] == 1, time
    assert not ready.note
