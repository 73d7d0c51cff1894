"""``nn.MaxPool1d`` in a capture: torch's own operator fixes the number of frames at the example's.

``torch.max_pool1d`` reads sizes as plain numbers (seen with torch 2.13). ``max_pool2d`` over an image of width one
gives the same values and stays symbolic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from .observed import Observed


def max_pool_forward(module: nn.MaxPool1d, _run: Observed, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """``forward`` of the module.

    Args:
        module: the pool.
        x: ``(batch, channels, time)`` or ``(channels, time)``.

    Returns:
        The largest of each window, and their positions where the module gives them.
    """
    kernel, stride, padding, dilation = (
        one if isinstance(one, int) else one[0]
        for one in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    image, options = x.unsqueeze(-1), ((kernel, 1), (stride, 1), (padding, 0), (dilation, 1), module.ceil_mode)
    if not module.return_indices:
        return functional.max_pool2d(image, *options).squeeze(-1)
    # Of an image of width one, a position in the image is a position in the row.
    largest, places = functional.max_pool2d_with_indices(image, *options)
    return largest.squeeze(-1), places.squeeze(-1)


#: Who answers ``forward`` of which torch class during capture.
FORWARDS: dict[type[nn.Module], Callable[..., Any]] = {nn.MaxPool1d: max_pool_forward}
