"""Cells in two directions, and cells above each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Bidirectional(nn.Module):
    """Two cells over one sequence, one from each end: Schuster and Paliwal (1997).

    "Bidirectional recurrent neural networks", IEEE Transactions on Signal Processing 45(11).

    Each row of the backward cell begins at its own last step, so it needs the lengths as much as the forward one.

    Args:
        forward_cell: made with ``reverse=False``.
        backward_cell: made with ``reverse=True``.

    Raises:
        InputError: a cell has the other direction.
    """

    def __init__(self, forward_cell: nn.Module, backward_cell: nn.Module) -> None:
        super().__init__()
        for cell, reverse in ((forward_cell, False), (backward_cell, True)):
            if getattr(cell, "reverse", None) is not reverse:
                place = "second" if reverse else "first"
                raise InputError(
                    f"the {place} cell of a Bidirectional ({type(cell).__name__}) has "
                    f"reverse={getattr(cell, 'reverse', None)}; make it with reverse={reverse}."
                )
        self.forward_cell, self.backward_cell = forward_cell, backward_cell

    def forward(
        self, x: Tensor, state: Sequence[Any] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, Any]]:
        """Run both over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: the forward cell's and the backward cell's.
            lengths: int64 ``(batch,)``.

        Returns:
            Both outputs side by side along axis 2, float32 ``(batch, time, 2 hidden)``, and both final states.

        Raises:
            InputError: the state is not two.
        """
        begin = _states(state, 2)
        ahead, ahead_state = self.forward_cell(x, begin[0], lengths)
        back, back_state = self.backward_cell(x, begin[1], lengths)
        return torch.cat((ahead, back), dim=2), (ahead_state, back_state)


class Stack(nn.Module):
    """Cells above each other, each reading the output of the one below; any cell, or a :class:`Bidirectional`.

    Args:
        *cells: from the lowest to the highest.

    Raises:
        InputError: there are none.
    """

    def __init__(self, *cells: nn.Module) -> None:
        super().__init__()
        if not cells:
            raise InputError("a Stack was given no cells; give one or more.")
        self.cells = nn.ModuleList(cells)

    def forward(
        self, x: Tensor, state: Sequence[Any] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Run all over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: one for each cell.
            lengths: int64 ``(batch,)``.

        Returns:
            The highest cell's output, float32 ``(batch, time, hidden)``, and every cell's final state.

        Raises:
            InputError: there are more states than cells, or fewer.
        """
        begin = _states(state, len(self.cells))
        finals = []
        for cell, at in zip(self.cells, begin, strict=True):
            x, final = cell(x, at, lengths)
            finals.append(final)
        return x, tuple(finals)


def _states(state: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """One state a cell, or None for each."""
    if state is None:
        return [None] * count
    if len(state) != count:
        raise InputError(f"{count} cells were given {len(state)} states. Give one a cell, or None for zeros.")
    return state
