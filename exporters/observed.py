"""What is learned of a model while it is captured, by whoever answers in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """

    module_names: Mapping[int, str]
    needs_sorted_lengths: bool = False
    trimmed: bool = False
    freezes: list[Freeze] = field(default_factory=list)
    _zero_padded: dict[int, Tensor] = field(default_factory=dict)

    def name(self, module: nn.Module, layer: int | None = None) -> str:
        """``encoder.lstm.l0``: the module's name in the source, and which of its layers."""
        name = self.module_names.get(id(module)) or type(module).__name__.lower()
        return name if layer is None else f"{name}.l{layer}"

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
