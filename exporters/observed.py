"""What is learned of a model while it is captured, by whoever answers in its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .frozen import user_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from .frozen import Freeze


@dataclass(kw_only=True, slots=True)
class Observed:
    """What is learned of one model while it is captured.

    Attributes:
        module_names: qualified name of each module, by ``id``.
        needs_sorted_lengths: the source packs with ``enforce_sorted=True``.
        trimmed: the source unpacks without ``total_length``, so its answer is ``max(lengths)`` steps long.
        freezes: where Python asked for a symbolic size as a plain number.
        bodies: what the steps of loops do.
        modules: all modules of the source.
        loops: ``Sequences`` of the Python loops that are being converted now, the outermost first.
        zeroed: names that are None before a Python loop and start from zeros in its scan, with the loop's place.
    """

    module_names: Mapping[int, str]
    needs_sorted_lengths: bool = False
    trimmed: bool = False
    freezes: list[Freeze] = field(default_factory=list)
    bodies: list[nn.Module] = field(default_factory=list)
    modules: Sequence[nn.Module] = ()
    loops: list[Any] = field(default_factory=list)
    zeroed: dict[str, None] = field(default_factory=dict)
    _zero_padded: dict[int, Tensor] = field(default_factory=dict)
    _loop_names: list[str] = field(default_factory=list)

    def name(self, module: nn.Module, layer: int | None = None) -> str:
        """``encoder.lstm.l0``: the module's name in the source, and which of its layers."""
        name = self.module_names.get(id(module)) or type(module).__name__.lower()
        return name if layer is None else f"{name}.l{layer}"

    def loop_name(self, kind: str) -> str:
        """``encoder.cell.scan``: after the module whose code calls ``scan`` or ``while_loop`` now."""
        place = user_place(sys._getframe(1))
        module = self.module_names.get(place["module_id"], "") if place is not None else ""
        name = f"{module}.{kind}" if module else kind
        self._loop_names.append(name)
        count = self._loop_names.count(name)
        return name if count == 1 else f"{name}.call{count}"

    def running_module(self) -> str:
        """The name of the module whose code runs now; empty for the model itself."""
        place = user_place(sys._getframe(1))
        return "" if place is None else self.module_names.get(place["module_id"], "")

    def note_zeros(self, name: str, file: str, line: int) -> None:
        """Note that a state that is None before a Python loop starts from zeros in its scan."""
        self.zeroed[f"'{name}' in the loop at {PurePath(file).name}:{line}"] = None

    def begin(self) -> None:
        """Forget what an earlier attempt to trace the model left."""
        self.freezes.clear()
        self.bodies.clear()
        self.loops.clear()
        self.zeroed.clear()
        self._loop_names.clear()
        self._zero_padded.clear()

    def packs(self, *, sorted_lengths: bool) -> None:
        """Note that sequences are packed, and whether the source wants their lengths sorted."""
        self.needs_sorted_lengths |= sorted_lengths

    def trims_to_longest(self) -> None:
        """Note that the source's padded answer ends at the longest row."""
        self.trimmed = True

    def zero_padded(self, x: Tensor) -> None:
        """Note that ``x`` is zero past each row's length, which recurrent operators promise."""
        self._zero_padded[id(x)] = x

    def is_zero_padded(self, x: Tensor) -> bool:
        """Whether ``x`` itself came from a recurrent operator with lengths."""
        return self._zero_padded.get(id(x)) is x
