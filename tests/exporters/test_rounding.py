"""Cases that rounding decides are not compared, and said to be so."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import rnnx
from rnnx.exporters import rounding

X = "x: float32[batch, time, 3]"


class Ties(nn.Module):
    """Which of two equal sums is larger; a margin parts them, if there is one."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.weight = nn.Parameter(torch.randn(3))

    def forward(self, x, margin):
        products = x * self.weight
        one, other = products.sum((1, 2)), products.sum(2).flip(1).cumsum(1)[:, -1]
        return one, one + margin > other


@pytest.fixture
def module():
    return Ties().eval()


def test_they_are_left_out_and_named(module, tmp_path):
    before = module.weight.detach().clone()
    out = tmp_path / "ties.rnnx"
    exported = rnnx.exporters.export(module, inputs=[X, "margin: int64[] < 4"], out=out, streaming="off")
    report = exported.parity
    assert report.passed
    assert 1 <= len(report.undecided) <= 7
    assert set(report.undecided.values()) == {"rounding decides the source's own output 'output'"}
    assert not {row.case for row in report.rows} & report.undecided.keys()
    stored = json.loads((out / "parity.json").read_text())["reports"][0]
    assert stored["undecided"] == dict(report.undecided)
    assert torch.equal(module.weight, before)


def test_where_it_decides_most_of_them_nothing_is_written(module, tmp_path):
    with pytest.raises(rnnx.errors.ParityError, match=r"in \d+ of 15 cases the source's own answer changes .* trained"):
        rnnx.exporters.export(module, inputs=[X, "margin: int64[] < 1"], out=tmp_path / "t.rnnx", streaming="off")
    assert not (tmp_path / "t.rnnx").exists()


def nudged_and_stopped(module, before):
    with rounding._nudged(module, 0):
        assert not torch.equal(module.weight, before)
        raise ZeroDivisionError


def test_weights_are_put_back_when_the_source_fails(module):
    before = module.weight.detach().clone()
    with pytest.raises(ZeroDivisionError):
        nudged_and_stopped(module, before)
    assert torch.equal(module.weight, before)
