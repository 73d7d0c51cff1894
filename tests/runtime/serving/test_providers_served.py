"""A served model on other providers than ONNX Runtime's own for the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import rnnx
from rnnx.errors import ProviderError
from rnnx.runtime.serving import model
from rnnx.runtime.serving.model import ModelOptions, ServedModel


@pytest.fixture
def bundle(tmp_path):
    """A causal GRU with a streaming variant and golden vectors."""
    torch = pytest.importorskip("torch")
    from rnnx.exporters import export

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = torch.nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0]

    torch.manual_seed(0)
    export(Net(), out=tmp_path / "net.rnnx", inputs=["x: float32[batch, time, 3]"])
    return tmp_path / "net.rnnx"


def test_openvino_serves_both_modes(bundle):
    pytest.importorskip("openvino")
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    served = ServedModel.load("net", bundle, ModelOptions(provider="openvino"))
    try:
        assert served.offline.session.provider == served.streaming.session.provider == "openvino"
        (options,) = served.offline.session.opened().get_provider_options().values()
        assert options["INFERENCE_NUM_THREADS"] == 1
        found = served.offline.engine.submit({"x": x}).result(10).outputs
    finally:
        served.close()
    with rnnx.load(bundle, provider="cpu") as session:
        for name, expected in session.run({"x": x}).items():
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-5)


def test_ranges_and_strict_reach_load(bundle, monkeypatch):
    asked = []

    def load(_, **given):
        asked.append(given)
        raise ProviderError("far enough")

    monkeypatch.setattr(model, "load", load)
    options = ModelOptions(
        provider="tensorrt", ranges={"batch": (1, 4, 8), "time": (1, 9, 99)}, engine_cache="/cache", strict=True
    )
    with pytest.raises(ProviderError, match="far enough"):
        ServedModel.load("net", bundle, options)
    assert {key: asked[0][key] for key in ("provider", "mode", "ranges", "engine_cache", "strict")} == {
        "provider": "tensorrt",
        "mode": "offline",
        "ranges": {"batch": (1, 4, 8), "time": (1, 9, 99)},
        "engine_cache": "/cache",
        "strict": True,
    }


def test_an_axis_of_one_mode_alone_is_for_that(bundle, monkeypatch):
    opened = rnnx.Bundle.open(bundle)
    options = ModelOptions(ranges={"batch": (1, 2, 3), "past": (1, 2, 3)})
    assert model._ranges_of(opened, options, "offline") == options.ranges, "load refuses an axis that nobody has"
    assert model._ranges_of(opened, ModelOptions(), "offline") is None
