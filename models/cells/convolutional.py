"""The LSTM over images, whose products are convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import conv2d

from ...errors import InputError
from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class ConvLSTM(nn.Module):
    """Convolutional LSTM in two dimensions: Shi, Chen, Wang, Yeung, Wong and Woo (2015).

    "Convolutional LSTM network: A machine learning approach for precipitation nowcasting", NIPS, arXiv:1506.04214.

        i_t = sigmoid(W_i (*) x_t + R_i (*) h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigmoid(W_f (*) x_t + R_f (*) h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = f_t * c_{t-1} + i_t * tanh(W_g (*) x_t + R_g (*) h_{t-1} + b_g)
        o_t = sigmoid(W_o (*) x_t + R_o (*) h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * tanh(c_t)

    ``(*)`` is a convolution that keeps height and width. The paper's peepholes ``p`` weigh every place of the image by
    itself, so they need its size; without a size there are none, and images may be of any size.

    Args:
        input_size: channels of an image.
        hidden_size: channels of the state.
        kernel_size: of both convolutions; odd, so that they keep height and width.
        image_size: height and width, for peepholes.
        bias: whether there is one.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(4 hidden, channels, kernel, kernel)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, hidden, kernel, kernel)``.
        weight_ch: float32 ``(3, hidden, height, width)``, the peepholes of ``i f o``, or None.
        bias: float32 ``(4 hidden,)``, or None.

    Raises:
        InputError: the kernel is even.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        kernel_size: int = 3,
        image_size: tuple[int, int] | None = None,
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise InputError(f"a kernel of {kernel_size} does not keep height and width; take an odd one.")
        self.hidden_size, self.padding, self.reverse = hidden_size, kernel_size // 2, reverse
        fan = hidden_size * kernel_size**2
        self.weight_ih = uniform(4 * hidden_size, input_size, kernel_size, kernel_size, fan=fan)
        self.weight_hh = uniform(4 * hidden_size, hidden_size, kernel_size, kernel_size, fan=fan)
        self.weight_ch = uniform(3, hidden_size, *image_size, fan=fan) if image_size else None
        self.bias = uniform(4 * hidden_size, fan=fan) if bias else None

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, channels, height, width)``.
            state: ``(h_0, c_0)``, each float32 ``(batch, hidden, height, width)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden, height, width)``, and ``(h_n, c_n)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        peepholes = None if self.weight_ch is None else self.weight_ch.unbind(0)

        def step(state: tuple[Tensor, Tensor], convolved: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (convolved + conv2d(h, self.weight_hh, padding=self.padding)).chunk(4, dim=1)
            if peepholes is not None:
                i, f = i + peepholes[0] * c, f + peepholes[1] * c
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            if peepholes is not None:
                o = o + peepholes[2] * c
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h

        batch, time, _, height, width = x.shape
        images = conv2d(x.flatten(0, 1), self.weight_ih, self.bias, padding=self.padding)
        convolved = images.reshape(batch, time, 4 * self.hidden_size, height, width)
        shape = (self.hidden_size, height, width)
        begin = (zeros(x, *shape), zeros(x, *shape)) if state is None else tuple(state)
        final, output = scan(step, begin, convolved, reverse=self.reverse, lengths=lengths)
        return output, final
