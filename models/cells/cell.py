"""What cells have in common: the weights that they begin with, and the run over whole sequences around their step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from torch import Tensor

    #: From a state and what a step sees of the input, the next state and the output.
    Step = Callable[[Any, Any], tuple[Any, Tensor]]


class Cell(nn.Module, ABC):
    """A cell whose gates are stacked in one weight for the input and one for what it put out last.

    Attributes:
        hidden_size: size of its state.
        reverse: whether it begins at the last step.
        weight_ih: float32 ``(gates hidden, features)``.
        weight_hh: float32 ``(gates hidden, output)``.
        bias: float32 ``(gates hidden,)``, or None.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, hidden_size: int, *, reverse: bool) -> None:
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse

    def draw(
        self,
        input_size: int,
        *,
        gates: int,
        bias: bool,
        output_size: int | None = None,
        others: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        """Give the cell its weights, drawn as :func:`uniform` draws them.

        Args:
            input_size: features of a step.
            gates: how many are stacked.
            bias: whether there is one.
            output_size: size of what it puts out, where that is not its hidden size.
            others: shapes of the weights that this cell alone has, by name; they are drawn before the bias.
        """
        rows, fan = gates * self.hidden_size, self.hidden_size
        self.weight_ih = uniform(rows, input_size, fan=fan)
        self.weight_hh = uniform(rows, self.hidden_size if output_size is None else output_size, fan=fan)
        for name, shape in (others or {}).items():
            setattr(self, name, uniform(*shape, fan=fan))
        self.bias = uniform(rows, fan=fan) if bias else None

    def project(self, x: Tensor) -> Any:  # noqa: ANN401  (one tensor, or several)
        """What depends on the input alone, ``(batch, time, ...)``, for all steps at once: ``W_ih x_t + b``."""
        return linear(x, self.weight_ih, self.bias)

    @abstractmethod
    def make_step(self) -> Step:
        """The step of the loop. It is made once for a run, so what the weights alone give is computed there once."""


class HiddenCell(Cell):
    """A cell whose state is the hidden layer ``h``, which is also what it puts out."""

    def forward(self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``h_0``, float32 ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and the last, ``(batch, hidden)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        h_0 = zeros(x, self.hidden_size) if state is None else state
        h_n, output = scan(self.make_step(), h_0, self.project(x), reverse=self.reverse, lengths=lengths)
        return output, h_n


class MemoryCell(Cell):
    """A cell whose state is what it puts out, ``h``, and a memory ``c``."""

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``(h_0, c_0)``, each float32 ``(batch, hidden)``; of a projected cell, ``h_0`` is
                ``(batch, projection)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)`` or ``(batch, time, projection)``, and ``(h_n, c_n)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        begin = (zeros(x, self.weight_hh.shape[1]), zeros(x, self.hidden_size)) if state is None else tuple(state)
        final, output = scan(self.make_step(), begin, self.project(x), reverse=self.reverse, lengths=lengths)
        return output, final
