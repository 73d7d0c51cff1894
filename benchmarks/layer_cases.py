"""Every option of torch's recurrent modules as a model to export: for the coverage table and for the tests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from .layer_models import (
    FEATURES,
    HIDDEN,
    PROJECTED,
    VOCABULARY,
    Filled,
    Packed,
    Padded,
    Several,
    Shared,
    Stateful,
    Strided,
    Summary,
    Tower,
    WeightNorm,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BATCH_FIRST = (f"x: float32[batch, time, {FEATURES}]",)
_TIME_FIRST = (f"x: float32[time, batch, {FEATURES}]",)
_UNBATCHED = (f"x: float32[time, {FEATURES}]",)

_KINDS: dict[str, Callable[..., nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
_CELLS: dict[str, Callable[..., nn.RNNCellBase]] = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "RNN": nn.RNNCell}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCase:
    """One model to export.

    Attributes:
        name: what is special about it.
        build: makes it, with weights from torch's own random state.
        recurrent: how many nodes of each recurrent operator its graph must have.
        inputs: declarations of its inputs.
        lengths: the input that holds lengths, or None.
        states: declarations of its states.
        example: sizes for the example that is traced, where it does not take the default ones.
    """

    name: str
    build: Callable[[], nn.Module]
    recurrent: Mapping[str, int]
    inputs: tuple[str, ...] = _BATCH_FIRST
    lengths: str | None = None
    states: tuple[str, ...] = ()
    example: Mapping[str, int] = field(default_factory=dict)


def layer_cases() -> list[LayerCase]:
    """Every case, in a fixed order."""
    cases = [case for kind, make in _KINDS.items() for case in (*_options(kind, make), *_faces(kind, make))]
    return [*cases, *_projections(), *_cells(), *_surroundings()]


def seeded(case: LayerCase, seed: int = 0) -> nn.Module:
    """The case's model with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return case.build().eval()


def _options(kind: str, make: Callable[..., nn.RNNBase]) -> Iterator[LayerCase]:
    """Layers, directions, layout and bias, in every combination."""
    for layers, bidirectional, batch_first, bias in itertools.product((1, 2), *[(False, True)] * 3):
        words = [f"layers={layers}", "bidirectional" if bidirectional else "", "" if batch_first else "time first"]
        yield LayerCase(
            name=" ".join(filter(None, [kind, *words, "" if bias else "no bias"])),
            build=_wrapped(
                Padded, make, num_layers=layers, bidirectional=bidirectional, batch_first=batch_first, bias=bias
            ),
            recurrent={kind: layers},
            inputs=_BATCH_FIRST if batch_first else _TIME_FIRST,
        )


def _faces(kind: str, make: Callable[..., nn.RNNBase]) -> Iterator[LayerCase]:
    """States, packing, and no batch at all."""
    both = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    flat = {"num_layers": 2, "batch_first": True}
    two, one, packed = {kind: 2}, {kind: 1}, f"{kind} packed"
    states = _states(kind, 4)
    yield LayerCase(name=f"{kind} state", build=_wrapped(Stateful, make, **both), recurrent=two, states=states)
    yield LayerCase(name=packed, build=_wrapped(Packed, make, **both), recurrent=two, lengths="lengths")
    yield LayerCase(
        name=f"{packed}, enforce_sorted",
        build=lambda: Packed(make(FEATURES, HIDDEN, **both), enforce_sorted=True),
        recurrent=two,
        lengths="lengths",
    )
    yield LayerCase(
        name=f"{packed}, to the longest row",
        build=lambda: Packed(make(FEATURES, HIDDEN, **both), whole=False),
        recurrent=two,
        lengths="lengths",
    )
    yield LayerCase(
        name=f"{packed}, time first",
        build=_wrapped(Packed, make, num_layers=1),
        recurrent=one,
        inputs=_TIME_FIRST,
        lengths="lengths",
    )
    yield LayerCase(
        name=f"{packed}, final state only", build=_wrapped(Summary, make, **both), recurrent=two, lengths="lengths"
    )
    yield LayerCase(name=f"{kind} unbatched", build=_wrapped(Padded, make, **flat), recurrent=two, inputs=_UNBATCHED)
    yield LayerCase(
        name=f"{kind} unbatched, state",
        build=_wrapped(Stateful, make, **flat),
        recurrent=two,
        inputs=_UNBATCHED,
        states=_states(kind, 2, batch=""),
    )


def _projections() -> Iterator[LayerCase]:
    """``proj_size``, which becomes one ``Scan`` a layer and direction."""
    for layers, bidirectional in itertools.product((1, 2), (False, True)):
        yield LayerCase(
            name=f"LSTM proj_size layers={layers}" + " bidirectional" * bidirectional,
            build=_wrapped(Padded, nn.LSTM, **_projected(layers, bidirectional=bidirectional)),
            recurrent={"Scan": layers * (2 if bidirectional else 1)},
        )
    yield LayerCase(
        name="LSTM proj_size packed",
        build=_wrapped(Packed, nn.LSTM, **_projected(2, bidirectional=True)),
        recurrent={"Scan": 4},
        lengths="lengths",
    )
    yield LayerCase(
        name="LSTM proj_size state",
        build=_wrapped(Stateful, nn.LSTM, **_projected(1, bidirectional=True)),
        recurrent={"Scan": 2},
        states=_states("LSTM", 2, h_size=PROJECTED),
    )
    yield LayerCase(
        name="LSTM proj_size no bias",
        build=_wrapped(Padded, nn.LSTM, bias=False, **_projected(1, bidirectional=False)),
        recurrent={"Scan": 1},
    )


def _cells() -> Iterator[LayerCase]:
    """One step of a cell."""
    for kind, cell in _CELLS.items():
        yield LayerCase(
            name=f"{kind}Cell",
            build=_wrapped(Stateful, cell),
            recurrent={kind: 1},
            inputs=(f"x: float32[batch, {FEATURES}]",),
            states=_states(kind, 0),
        )


def _surroundings() -> Iterator[LayerCase]:
    """What stands around recurrent layers in real models."""
    relu = {"num_layers": 2, "nonlinearity": "relu", "batch_first": True}
    yield LayerCase(name="RNN relu", build=_wrapped(Padded, nn.RNN, **relu), recurrent={"RNN": 2})
    yield LayerCase(name="work on packed .data", build=Filled, recurrent={"GRU": 1}, lengths="lengths")
    yield LayerCase(name="several, one called twice", build=Several, recurrent={"GRU": 2, "LSTM": 1, "RNN": 1})
    yield LayerCase(name="shared weights", build=Shared, recurrent={"LSTM": 2})
    yield LayerCase(name="weight norm", build=WeightNorm, recurrent={"LSTM": 1})
    yield LayerCase(name="strided convolution", build=Strided, recurrent={"GRU": 1})
    yield LayerCase(
        name="embedding, norms, convolution, dropout, attention",
        build=Tower,
        recurrent={"LSTM": 3},
        inputs=(f"x: int64[batch, time] < {VOCABULARY}",),
    )


def _wrapped(
    wrapper: Callable[..., nn.Module], make: Callable[..., nn.Module], **options: object
) -> Callable[[], nn.Module]:
    return lambda: wrapper(make(FEATURES, HIDDEN, **options))


def _projected(layers: int, *, bidirectional: bool) -> dict[str, object]:
    return {"num_layers": layers, "bidirectional": bidirectional, "batch_first": True, "proj_size": PROJECTED}


def _states(kind: str, count: int, *, batch: str = "batch, ", h_size: int = HIDDEN) -> tuple[str, ...]:
    """Declarations of the initial states: ``(count, batch, size)``, or a cell's ``(batch, size)`` for a count of 0."""
    arguments = {"h_0": ("hx.0", h_size), "c_0": ("hx.1", HIDDEN)} if kind == "LSTM" else {"h_0": ("hx", h_size)}
    layers = f"{count}, " if count else ""
    return tuple(f"{name} -> {to}: float32[{layers}{batch}{size}]" for name, (to, size) in arguments.items())
