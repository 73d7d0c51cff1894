"""The range of an axis is what the source takes, not what torch.export likes to assume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rnnx

X = "x: float32[batch, time, 3]"


class Frontend(nn.Module):
    """A loop over what a convolution leaves, of which torch wants two steps."""

    def __init__(self, **options):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution, self.cell = nn.Conv1d(3, 4, 3, **options), nn.GRUCell(4, 5)

    def forward(self, x):
        x = self.convolution(x.transpose(1, 2)).transpose(1, 2)
        h, steps = x.new_zeros(x.size(0), 5), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1)


class Shifted(nn.Module):
    """Teacher forcing by a slice that may be of one step."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        return self.gru(before)[0]


class Late(nn.Module):
    """A loop that leaves the first two steps out: with two there is nothing to do, which a Scan cannot say."""

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(2, x.size(1)):
            h = torch.tanh(h + x[:, t])
        return h


@pytest.mark.parametrize(
    ("module", "smallest"),
    [
        (Frontend(stride=2, padding=1), 1),
        (Frontend(padding=1), 1),
        (Frontend(stride=2), 3),
        (Frontend(dilation=2), 5),
        (Shifted(), 1),
        (Late(), 3),
    ],
    ids=["strided, padded", "padded", "strided", "dilated", "shifted", "late"],
)
def test_a_model_keeps_every_size_that_it_takes(module, smallest, tmp_path):
    exported = rnnx.exporters.export(module.eval(), inputs=[X], out=tmp_path / "m.rnnx", streaming="off")
    assert exported.bundle.manifest.signature.range("time").minimum == smallest
    assert smallest in {row.sizes["time"] for row in exported.parity.rows}
    with rnnx.load(exported.bundle.path) as session, torch.no_grad():
        x = torch.randn(2, smallest, 3, generator=torch.Generator().manual_seed(0))
        (found,) = session.run({"x": x.numpy()}).values()
        torch.testing.assert_close(torch.tensor(found), module(x), rtol=0, atol=1e-6)
