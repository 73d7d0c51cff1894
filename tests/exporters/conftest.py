"""Models and bundles that more than one test of the exporters needs. An export takes a second: make it once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from rnnx.exporters import export

if TYPE_CHECKING:
    from pathlib import Path

FEATURES, HIDDEN = 3, 4


class Tagger(nn.Module):
    """An LSTM, a GRU and a projection: layers of two kinds, so that one of them can be lowered wrongly."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.encoder = nn.GRU(HIDDEN, HIDDEN + 1, batch_first=True)
        self.head = nn.Linear(HIDDEN + 1, 2)

    def forward(self, x):
        frames, _ = self.front(x)
        hidden, _ = self.encoder(frames)
        scores = self.head(hidden)
        return scores  # noqa: RET504  (the output is called so)


@pytest.fixture
def tagger() -> nn.Module:
    """A fresh tagger, in train mode, always with the same weights."""
    return Tagger()


@pytest.fixture(scope="session")
def tagger_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tagger's bundle. Never write to it: see ``standing``."""
    out = tmp_path_factory.mktemp("tagger") / "tagger.rnnx"
    export(Tagger(), inputs={"x": f"float32[batch, time, {FEATURES}]"}, out=out)
    return out


@pytest.fixture
def standing(tagger_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tagger's bundle that a test may destroy."""
    return shutil.copytree(tagger_bundle, tmp_path / "standing.rnnx")
