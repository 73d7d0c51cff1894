"""What line reading shows in the gallery: held-out lines in fonts that it never saw, as drawn and spoilt."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.running import BundleRunner
from .data import degraded
from .data import load as held_out
from .face import FACE
from .scoring import read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Every so manieth held-out line is shown, in turn as it was drawn and spoilt; each pixel as so many.
_EVERY, _LARGER = 27, 2


def exhibit(bundle: Path) -> Exhibit:
    """Some held-out lines and what the bundle reads in them."""
    lines = held_out()
    lines = tuple(pair[number % 2] for number, pair in enumerate(zip(lines, degraded(lines), strict=True)))[::_EVERY]
    with load(bundle) as session:
        said = read(BundleRunner(session, FACE), lines)
    pieces = tuple(
        Picture(
            png=_png(line.image),
            about=f"'{one}' ({'right' if one == line.text else f'it says {line.text}'}; {line.font}, never seen).",
        )
        for one, line in zip(said, lines, strict=True)
    )
    return Exhibit(about="Lines in fonts of families that training never saw, every other one spoilt.", pieces=pieces)


def _png(image: NDArray[np.float32]) -> bytes:
    from PIL import Image  # noqa: PLC0415  (only the gallery needs it)

    pixels = np.round(image * 255).astype(np.uint8).repeat(_LARGER, 0).repeat(_LARGER, 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()
