"""Python loops over time as models to export: for the coverage table and for the tests. See layer_cases.py."""

from __future__ import annotations

from .layer_cases import LayerCase
from .layer_models import FEATURES
from .loop_models import (
    Backwards,
    Bidirectional,
    Buffered,
    Gridded,
    Helped,
    Layered,
    LookingBack,
    Masked,
    Ranged,
    TimeFirst,
    Unbound,
)

_TIME_FIRST = (f"x: float32[time, batch, {FEATURES}]",)
_GRID = (f"x: float32[batch, rows, columns, {FEATURES}]",)


def loop_cases() -> list[LayerCase]:
    """Every kind of loop; what a loop over time becomes is one Scan, and a comprehension over time another."""
    return [
        LayerCase(name="loop range", build=Ranged, recurrent={"Scan": 1, "GRU": 1}),
        LayerCase(name="loop unbind, state None", build=Unbound, recurrent={"Scan": 1, "LSTM": 1}),
        LayerCase(
            name="loop over a tensor, two lists",
            build=TimeFirst,
            recurrent={"Scan": 1, "LSTM": 1},
            inputs=_TIME_FIRST,
        ),
        LayerCase(name="loops ahead and back", build=Backwards, recurrent={"Scan": 4, "GRU": 3}),
        LayerCase(name="loop over layers in a loop", build=Layered, recurrent={"Scan": 1, "LSTM": 2}),
        LayerCase(name="loops that fill tensors", build=Buffered, recurrent={"Scan": 2, "GRU": 2}),
        LayerCase(name="loop with lengths", build=Masked, recurrent={"Scan": 1, "GRU": 1}, lengths="lengths"),
        LayerCase(name="loop that looks back", build=LookingBack, recurrent={"Scan": 2, "GRU": 1}),
        LayerCase(name="loop in a loop", build=Gridded, recurrent={"Scan": 2, "RNN": 1}, inputs=_GRID),
        LayerCase(name="loop in a function", build=Helped, recurrent={"Scan": 1, "LSTM": 1}, inputs=_TIME_FIRST),
        LayerCase(name="loops in both directions", build=Bidirectional, recurrent={"Scan": 4, "GRU": 2}),
    ]
