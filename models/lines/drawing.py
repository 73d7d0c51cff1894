"""Text to an image of 32 rows, with a font file."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MissingExtraError
from .model import HEIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Letters that reach as far up and down as any.
_TALL = "Mbdfhklgjpqy(/"
#: Sizes that fonts are opened at, in pixels of their em.
_SIZES = range(10, 40)


def draw(text: str, font: Path, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a line: black on white, at a random size and place.

    Args:
        text: one line.
        font: a TrueType or OpenType file.
        generator: of the size and the place.

    Returns:
        ``(32, width)``, 0 black to 255 white; between 1 and 8 columns are white on each side.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    image, drawing = _pillow()
    opened, top, bottom = _open(font, int(generator.integers(18, HEIGHT)))
    before, behind = (int(space) for space in generator.integers(1, 9, 2))
    left, _, right, _ = opened.getbbox(text)
    width = max(int(right - left), 1)
    canvas = image.new("L", (before + width + behind, HEIGHT), 255)
    free = max(HEIGHT - (bottom - top), 0)
    y = int(generator.integers(0, free + 1)) - top
    drawing.Draw(canvas).text((before - left, y), text, fill=0, font=opened)
    return np.asarray(canvas).copy()


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageDraw  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(f"drawing text needs Pillow: {error}. Run: pip install 'rnnx[zoo]'.") from error
    return Image, ImageDraw


@lru_cache(maxsize=4096)
def _open(font: Path, height: int) -> tuple[Any, int, int]:
    """A font at the largest size at which its tallest letters take at most ``height`` rows, and their rows."""
    from PIL import ImageFont  # noqa: PLC0415  (_pillow has told whether it is there)

    best = None
    for size in _SIZES:
        opened = ImageFont.truetype(str(font), size)
        _, top, _, bottom = opened.getbbox(_TALL)
        if best is not None and bottom - top > height:
            break
        best = opened, int(top), int(bottom)
    assert best is not None
    return best
