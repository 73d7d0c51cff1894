"""The zoo's cells as models to export: for the coverage table and for the tests. See layer_cases.py for torch's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..models.cells import (
    IRNN,
    Bidirectional,
    Clockwork,
    ConvLSTM,
    CoupledLSTM,
    Elman,
    Jordan,
    LayerNormGRU,
    LayerNormLSTM,
    MinimalGatedUnit,
    MultiplicativeLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    Stack,
)
from .layer_cases import LayerCase
from .layer_models import FEATURES, HIDDEN, PROJECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEIGHT, _WIDTH, _CHANNELS = 4, 5, 2
_H = f"float32[batch, {HIDDEN}]"
_ONE = (f"h_0 -> state: {_H}",)
_PAIR = (f"h_0 -> state.0: {_H}", f"c_0 -> state.1: {_H}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell of the zoo at a tiny size.

    Attributes:
        make: makes it; takes ``reverse`` and ``bias``, and ``input_size`` where that is not ``FEATURES``.
        states: declarations of its states.
        x: declaration of its input.
        output: features of its output.
    """

    make: Callable[..., nn.Module]
    states: tuple[str, ...]
    x: str = f"x: float32[batch, time, {FEATURES}]"
    output: int = HIDDEN


def _sized(kind: Callable[..., nn.Module], *sizes: int, **options: object) -> Callable[..., nn.Module]:
    def make(input_size: int = FEATURES, **more: object) -> nn.Module:
        return kind(input_size, *sizes, **options, **more)

    return make


def _conv(**options: object) -> Callable[..., nn.Module]:
    def make(input_size: int = _CHANNELS, **more: object) -> nn.Module:
        return ConvLSTM(input_size, 3, **options, **more)  # type: ignore[arg-type]  # the cases' own options

    return make


def _conv_states(image: str) -> tuple[str, ...]:
    return tuple(f"{name} -> state.{n}: float32[batch, 3, {image}]" for n, name in enumerate(("h_0", "c_0")))


#: Every cell. An IRNN's inputs count for more here than its paper lets them begin with, or all would be near zero.
CELLS: dict[str, Cell] = {
    "Elman": Cell(make=_sized(Elman, HIDDEN), states=_ONE),
    "IRNN": Cell(make=_sized(IRNN, HIDDEN, scale=0.9, std=0.2), states=_ONE),
    "Jordan": Cell(
        make=_sized(Jordan, HIDDEN, PROJECTED, decay=0.5),
        states=(f"s_1 -> state: float32[batch, {PROJECTED}]",),
        output=PROJECTED,
    ),
    "PeepholeLSTM": Cell(make=_sized(PeepholeLSTM, HIDDEN), states=_PAIR),
    "CoupledLSTM": Cell(make=_sized(CoupledLSTM, HIDDEN), states=_PAIR),
    "LayerNormLSTM": Cell(make=_sized(LayerNormLSTM, HIDDEN, gain=0.25), states=_PAIR),
    "LayerNormGRU": Cell(make=_sized(LayerNormGRU, HIDDEN, gain=0.25), states=_ONE),
    "ProjectedLSTM": Cell(
        make=_sized(ProjectedLSTM, HIDDEN, PROJECTED),
        states=(f"h_0 -> state.0: float32[batch, {PROJECTED}]", f"c_0 -> state.1: {_H}"),
        output=PROJECTED,
    ),
    "MinimalGatedUnit": Cell(make=_sized(MinimalGatedUnit, HIDDEN), states=_ONE),
    "Clockwork": Cell(
        make=_sized(Clockwork, HIDDEN), states=(f"h_0 -> state.0: {_H}", "count_0 -> state.1: int64[batch]")
    ),
    "MultiplicativeLSTM": Cell(make=_sized(MultiplicativeLSTM, HIDDEN), states=_PAIR),
    "ConvLSTM": Cell(
        make=_conv(),
        states=_conv_states("height, width"),
        x=f"x: float32[batch, time, {_CHANNELS}, height, width]",
    ),
    "ConvLSTM peepholes": Cell(
        make=_conv(image_size=(_HEIGHT, _WIDTH)),
        states=_conv_states(f"{_HEIGHT}, {_WIDTH}"),
        x=f"x: float32[batch, time, {_CHANNELS}, {_HEIGHT}, {_WIDTH}]",
    ),
}


class Tagger(nn.Module):
    """A cell between an input layer and an output layer, inside another module."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.front = nn.Linear(FEATURES, FEATURES)
        self.encoder = nn.ModuleDict({"cell": cell})
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Scores, float32 ``(batch, time, 2)``."""
        hidden, _ = self.encoder["cell"](self.front(x).tanh(), None, lengths)
        scores: Tensor = self.head(hidden)
        return scores


class Twice(nn.Module):
    """One cell called twice, the second time on what the first gave and from where it stopped."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.back = nn.Linear(HIDDEN, FEATURES)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The second output and state."""
        first, state = self.cell(x)
        y, state = self.cell(self.back(first), state)
        return y, state


def cell_cases() -> list[LayerCase]:
    """Every cell with nothing, with lengths and states, in reverse; and what stands around cells."""
    return [*(case for name, cell in CELLS.items() for case in _faces(name, cell)), *_surroundings()]


def _faces(name: str, cell: Cell) -> Iterator[LayerCase]:
    one, inputs = {"Scan": 1}, (cell.x,)
    yield LayerCase(name=f"{name} no bias", build=lambda: cell.make(bias=False), recurrent=one, inputs=inputs)
    yield LayerCase(
        name=f"{name} lengths, state",
        build=cell.make,
        recurrent=one,
        inputs=inputs,
        lengths="lengths",
        states=cell.states,
    )
    yield LayerCase(
        name=f"{name} reverse, lengths",
        build=lambda: cell.make(reverse=True),
        recurrent=one,
        inputs=inputs,
        lengths="lengths",
    )


def _both(name: str, **options: object) -> Bidirectional:
    return Bidirectional(CELLS[name].make(**options), CELLS[name].make(reverse=True, **options))


def _surroundings() -> Iterator[LayerCase]:
    yield LayerCase(
        name="bidirectional Elman and LayerNormGRU",
        build=lambda: Bidirectional(CELLS["Elman"].make(), CELLS["LayerNormGRU"].make(reverse=True)),
        recurrent={"Scan": 2},
        lengths="lengths",
    )
    yield LayerCase(
        name="bidirectional PeepholeLSTM, state",
        build=lambda: _both("PeepholeLSTM"),
        recurrent={"Scan": 2},
        states=tuple(f"{s}_{d} -> state.{n}.{m}: {_H}" for n, d in enumerate("fb") for m, s in enumerate("hc")),
    )
    yield LayerCase(
        name="stack of two cells",
        build=lambda: Stack(CELLS["CoupledLSTM"].make(), CELLS["MinimalGatedUnit"].make(input_size=HIDDEN)),
        recurrent={"Scan": 2},
        lengths="lengths",
        states=(f"h_0 -> state.0.0: {_H}", f"c_0 -> state.0.1: {_H}", f"h_1 -> state.1: {_H}"),
    )
    yield LayerCase(
        name="bidirectional Clockwork below MultiplicativeLSTM",
        build=lambda: Stack(_both("Clockwork"), CELLS["MultiplicativeLSTM"].make(input_size=2 * HIDDEN)),
        recurrent={"Scan": 3},
        lengths="lengths",
    )
    yield LayerCase(
        name="cell inside another module",
        build=lambda: Tagger(CELLS["PeepholeLSTM"].make()),
        recurrent={"Scan": 1},
        lengths="lengths",
    )
    yield LayerCase(name="cell called twice", build=lambda: Twice(CELLS["LayerNormLSTM"].make()), recurrent={"Scan": 2})
    yield LayerCase(
        name="cell between torch's layers",
        build=lambda: nn.Sequential(_First(nn.GRU(FEATURES, FEATURES, batch_first=True)), _First(CELLS["IRNN"].make())),
        recurrent={"GRU": 1, "Scan": 1},
        inputs=(f"input: float32[batch, time, {FEATURES}]",),
    )


class _First(nn.Module):
    """A layer without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The output alone."""
        output: Tensor = self.layer(x)[0]
        return output
