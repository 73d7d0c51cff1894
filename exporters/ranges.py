"""The sizes that axes may have, as they are learned from what torch.export refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim

from .arguments import bind, example_inputs
from .frozen import narrower, only_unequal
from .quiet import quiet
from .standins import unobserved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from ..signature import AxisRange, Signature

#: More steps than any loop leaves out.
_PLENTY = 4096
#: What is assumed of a size where torch wants an expression over it not to be 1.
_LARGER = 4


class Ranges:
    """What is known of each dynamic axis.

    torch.export assumes that a symbolic size is neither 0 nor 1, also of the sizes that it computes. So it may want an
    axis to be larger than the source does. Then that is assumed while it traces, the range stays what the source takes,
    and that the graph is right in all of it is for the parity matrix to show.

    Attributes:
        found: the range of each axis.
    """

    def __init__(self, module: nn.Module, signature: Signature, sizes: Mapping[str, int]) -> None:
        """Begin with the declared ranges, and the sizes of the example."""
        self.found: dict[str, AxisRange] = {axis: signature.range(axis) for axis in signature.dynamic_axes}
        self._module = module
        self._signature = signature
        self._sizes = sizes
        self._assumed: dict[str, int] = {}
        self._larger: dict[str, int] = {}

    @property
    def wants_larger(self) -> bool:
        """Whether all that torch wanted at some time was that a size is not 1 (``target - 1``)."""
        return bool(self._larger)

    def shapes(self, *, assumed: bool, larger: bool) -> dict[str, Any]:
        """Torch's dynamic shapes of the arguments of ``forward``, with what is assumed of sizes."""
        least = (self._assumed if assumed else {}) | (self._larger if larger else {})
        dims = {axis: _dim(allowed, least.get(axis, 0)) for axis, allowed in self.found.items()}
        return bind(
            self._signature,
            {
                spec.name: [dims[axis] if isinstance(axis, str) else Dim.STATIC for axis in spec.axes]
                for spec in self._signature.inputs
            },
        )

    def learn(self, error: Exception, *, oblivious: bool) -> bool:
        """Take over what an error of torch.export says; False where it says nothing of ranges."""
        narrowed = narrower(error, self.found)
        if not oblivious:
            unequal = only_unequal(error, self.found)
            self._larger.update({axis: min(_LARGER, self._sizes[axis]) for axis in unequal})
        for axis, allowed in narrowed.items():
            if allowed.multiple_of == self.found[axis].multiple_of:
                self._assumed[axis] = allowed.minimum
                narrowed[axis] = replace(allowed, minimum=self._smallest(axis, allowed.minimum))
        self.found.update(narrowed)
        return bool(narrowed)

    def _smallest(self, axis: str, wanted: int) -> int:
        """The smallest size, from the minimum so far on, down to which the source runs without a break."""
        size = wanted
        while size > self.found[axis].minimum:
            try:
                _, inputs = example_inputs(self._signature, {**self._sizes, axis: size - 1})
                with torch.no_grad(), quiet(), unobserved():
                    self._module(**bind(self._signature, inputs))
            except Exception:  # noqa: BLE001  (whatever it raises, it does not take this size)
                break
            size -= 1
        return size


def with_steps(
    program: torch.export.ExportedProgram, found: Mapping[str, AxisRange], symbols: Mapping[str, str]
) -> dict[str, AxisRange]:
    """The ranges without sizes at which a scan would have no step: ONNX Runtime's ``Scan`` ends the process there.

    Args:
        program: what was captured.
        found: the range of each axis.
        symbols: axis names by torch's symbols.
    """
    ranges = dict(found)
    for node in program.graph.nodes:
        if node.target is not torch.ops.rnnx.scan.default:
            continue
        _, sequences, _, _, time_axis, *_ = node.args
        steps = sequences[0].meta["val"].shape[time_axis]
        if not isinstance(steps, torch.SymInt):
            continue
        expression = steps.node.expr
        for symbol in expression.free_symbols:
            axis = symbols.get(str(symbol))
            if axis not in ranges:
                continue  # a size that data decides, or an axis of multiples, of which there is always one
            others = {one: _PLENTY for one in expression.free_symbols if one != symbol}
            smallest = ranges[axis].minimum
            while smallest < _PLENTY and expression.subs({**others, symbol: smallest}) < 1:
                smallest += 1
            ranges[axis] = replace(ranges[axis], minimum=smallest)
    return ranges


def _dim(allowed: AxisRange, assumed: int) -> Any:  # noqa: ANN401
    if allowed.multiple_of > 1:
        # torch writes a multiple as an expression over a dimension that has no other use.
        step = allowed.multiple_of
        largest = None if allowed.maximum is None else allowed.maximum // step
        return step * Dim(f"_{allowed.name}", min=max(-(-allowed.minimum // step), 1), max=largest)
    return Dim(allowed.name, min=max(allowed.minimum, assumed), max=allowed.maximum)
