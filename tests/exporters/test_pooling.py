"""``nn.MaxPool1d`` in an export: any number of frames, the module's own values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rnnx.exporters.exporter import export
from rnnx.exporters.pooling import max_pool_forward

FEATURES = 3


class Pooled(nn.Module):
    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.gru = nn.GRU(FEATURES, 4, batch_first=True)

    def forward(self, x):
        return self.gru(self.pool(x.transpose(1, 2)).transpose(1, 2))[0]


def test_a_maximum_over_time_stays_dynamic(tmp_path):
    torch.manual_seed(0)
    exported = export(
        Pooled(nn.MaxPool1d(3, 2, 1)),
        inputs=[f"x: float32[batch, time, {FEATURES}]"],
        out=tmp_path / "p.rnnx",
        streaming="off",
    )
    assert exported.parity.passed
    assert len({row.sizes["time"] for row in exported.parity.rows}) == 5
    assert exported.bundle.manifest.variants[0].operators["MaxPool"] == 1
    # Captured or not, the class is torch's own again.
    assert nn.MaxPool1d.forward.__module__ == "torch.nn.modules.pooling"


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3,), "stride": (2,), "padding": 1},
        {"kernel_size": 3, "stride": 1, "dilation": 2},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": 3, "padding": 1, "return_indices": True},
    ],
)
@pytest.mark.parametrize("shape", [(2, FEATURES, 11), (FEATURES, 11)])
def test_it_is_torchs_own_pool(options, shape):
    pool, x = nn.MaxPool1d(**options), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected, found = pool(x), max_pool_forward(pool, None, x)
    for one, other in zip(
        expected if isinstance(expected, tuple) else (expected,),
        found if isinstance(found, tuple) else (found,),
        strict=True,
    ):
        assert torch.equal(one, other)
