"""Models that look at several frames at once: for the coverage table and for the tests. See stream_models.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from .layer_cases import LayerCase
from .layer_models import FEATURES
from .stream_models import (
    CHANNELS,
    Ahead,
    Branches,
    Chomp,
    Differences,
    Front,
    Image,
    Joined,
    PackedFront,
    Picked,
    Residual,
    Speaker,
    Spliced,
    Stacked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BANDS = 8


def stream_cases() -> list[LayerCase]:
    """Every case, in a fixed order."""
    return [*_convolutions(), *_pools(), *_joins(), *_rest()]


def _conv(
    *, channels: int = FEATURES, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> nn.Module:
    return nn.Conv1d(channels, CHANNELS, 3, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _convolutions() -> Iterator[LayerCase]:
    one = {"LSTM": 1}
    for name, front in {
        "padded convolution": lambda: Front(_conv(padding=1), nn.ReLU()),
        "padded convolution twice": lambda: Front(
            _conv(padding=1), nn.BatchNorm1d(CHANNELS), nn.ReLU(), _conv(channels=CHANNELS, padding=1)
        ),
        "padded convolution, stride 2": lambda: Front(_conv(padding=1, stride=2), nn.ReLU()),
        "padded convolution, stride 2, twice": lambda: Front(
            _conv(padding=1, stride=2), nn.ReLU(), _conv(channels=CHANNELS, padding=1, stride=2)
        ),
        "convolution without padding": lambda: Front(_conv()),
        "convolution without padding, stride 2": lambda: Front(_conv(stride=2)),
        "causal convolution, stride 2": lambda: Front(_conv(stride=2), pad=(2, 0)),
        "causal convolution, stride 2, padded by one": lambda: Front(_conv(stride=2), pad=(1, 0)),
        "dilated and grouped convolution": lambda: Front(
            _conv(), _conv(channels=CHANNELS, padding=2, dilation=2, groups=2)
        ),
        "convolution padded and cut": lambda: Front(Chomp(2)),
        "convolution behind joined zeros": lambda: Front(Joined()),
    }.items():
        yield LayerCase(name=f"{name}, LSTM", build=front, recurrent=one)


def _pools() -> Iterator[LayerCase]:
    one = {"LSTM": 1}
    for name, pool in {
        "mean of 2": lambda: nn.AvgPool1d(2),
        "padded mean of 3, stride 2": lambda: nn.AvgPool1d(3, 2, 1),
        "padded maximum of 3, stride 2": lambda: nn.MaxPool1d(3, 2, 1),
    }.items():
        yield LayerCase(name=f"{name}, LSTM", build=_pooled(pool), recurrent=one)
    yield LayerCase(
        name="largest of 2 in an image, padded convolutions",
        build=lambda: Image(_BANDS, (2, 2)),
        recurrent={"GRU": 1},
        inputs=(f"x: float32[batch, time, {_BANDS}]",),
    )


def _joins() -> Iterator[LayerCase]:
    one = {"LSTM": 1}
    yield LayerCase(
        name="residual block that looks ahead, LSTM", build=lambda: Front(Residual(), channels=FEATURES), recurrent=one
    )
    yield LayerCase(
        name="residual block of stride 2, LSTM", build=lambda: Front(Residual(2), channels=FEATURES), recurrent=one
    )
    yield LayerCase(
        name="branches that look ahead, LSTM",
        build=lambda: Front(Branches(), channels=CHANNELS + FEATURES),
        recurrent=one,
    )
    yield LayerCase(
        name="one vector beside the frames",
        build=Speaker,
        recurrent={"GRU": 1},
        inputs=(f"x: float32[batch, time, {FEATURES}]", f"who: float32[batch, {FEATURES}]"),
    )


def _rest() -> Iterator[LayerCase]:
    yield LayerCase(name="row convolution behind an LSTM", build=Ahead, recurrent={"LSTM": 1})
    yield LayerCase(name="three frames stacked", build=Stacked, recurrent={"GRU": 1}, example={"time": 12})
    yield LayerCase(name="every other frame", build=Picked, recurrent={"GRU": 1})
    yield LayerCase(name="three frames spliced", build=Spliced, recurrent={"GRU": 1})
    yield LayerCase(name="differences of neighbouring frames", build=Differences, recurrent={"GRU": 1})
    yield LayerCase(
        name="padded convolutions over time and frequency, stride 2",
        build=lambda: Image(_BANDS),
        recurrent={"GRU": 1},
        inputs=(f"x: float32[batch, time, {_BANDS}]",),
    )
    yield LayerCase(
        name="padded convolution, stride 2, packed LSTM", build=PackedFront, recurrent={"LSTM": 1}, lengths="lengths"
    )


def _pooled(pool: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Front(pool(), channels=FEATURES)
