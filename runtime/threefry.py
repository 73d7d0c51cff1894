"""Threefry-2x32: random numbers from a key and a counter, the same in NumPy, in PyTorch and in a graph.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011: 20 rounds. ONNX's own random
operators take their seed when the graph is made, so a seed that is an input needs a generator made of arithmetic.
32-bit words are held in int64, where no sum or product here overflows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MASK = 0xFFFFFFFF
_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def uniform(seed: NDArray[np.int64], counter: NDArray[np.int64]) -> NDArray[np.float32]:
    """A number in [0, 1) for each seed at each count.

    Args:
        seed: int64, any shape, any value.
        counter: int64 from 0 to 2**32 - 1, of a shape that fits.

    Returns:
        float32 of their common shape, multiples of 2**-24.
    """
    word: NDArray[np.int64] = random_word(seed, counter, _high)
    # The highest 24 bits, which float32 holds exactly.
    return (word & ~0xFF).astype(np.float32) * np.float32(2.0**-32)


def random_word(seed: Any, counter: Any, high: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """One word, 0 to 2**32 - 1, for each seed at each count; arrays or tensors of int64.

    Args:
        seed: the key.
        counter: the first word of the counter; the other is 0.
        high: what of an int64 is above its lowest 32 bits, for arrays of this kind.
    """
    return threefry((seed & MASK, high(seed) & MASK), (counter & MASK, counter * 0), high)[0]


def threefry(key: tuple[Any, Any], count: tuple[Any, Any], high: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Both words of a block; all words are int64 of 0 to 2**32 - 1, of shapes that fit together."""
    keys = (*key, key[0] ^ key[1] ^ _PARITY)
    x_0, x_1 = (count[0] + keys[0]) & MASK, (count[1] + keys[1]) & MASK
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x_0 = (x_0 + x_1) & MASK
            moved = x_1 * 2**rotation
            x_1 = ((moved & MASK) + high(moved)) ^ x_0
        x_0 = (x_0 + keys[(group + 1) % 3]) & MASK
        x_1 = (x_1 + keys[(group + 2) % 3] + group + 1) & MASK
    return x_0, x_1


def _high(number: NDArray[np.int64]) -> NDArray[np.int64]:
    return number >> 32
