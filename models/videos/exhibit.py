"""What video captioning shows in the gallery: clips as strips of frames, and what the bundle tells of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.running import BundleRunner
from .clips import PARTS
from .face import FACE
from .scoring import CLIPS, feed
from .words import SENTENCES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Clips of each part, where their random numbers begin, and how many each pixel is drawn as.
_CLIPS, _SEED, _LARGER = 3, 3_000_003, 2


def exhibit(bundle: Path) -> Exhibit:
    """New clips of every part."""
    shown = [one for part in PARTS for one in CLIPS.examples(_CLIPS, _SEED + PARTS.index(part), part)]
    with load(bundle) as session:
        tokens = BundleRunner(session, FACE).run(feed([one.shown for one in shown]))["tokens"].tolist()
    pieces = []
    for example, row in zip(shown, tokens, strict=True):
        said = SENTENCES.decode(row)
        verdict = "right" if said == example.caption else f"it shows {example.caption}"
        what = "" if example.part == "seen" else f", {example.part}"
        pieces.append(Picture(png=_strip(example.shown), about=f"'{said}' ({verdict}{what})."))
    return Exhibit(
        about="Clips of Noto Emoji (Apache-2.0), frame by frame, and what the bundle tells of them.",
        pieces=tuple(pieces),
    )


def _strip(frames: NDArray[np.uint8]) -> bytes:
    from PIL import Image  # noqa: PLC0415  (only the gallery needs it)

    row = np.concatenate([frame.transpose(1, 2, 0) for frame in frames], axis=1)
    file = io.BytesIO()
    Image.fromarray(row.repeat(_LARGER, 0).repeat(_LARGER, 1)).save(file, "PNG", optimize=True)
    return file.getvalue()
