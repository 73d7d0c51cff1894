"""What speech generation shows in the gallery: number words, said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.tasks import load_task
from ...runtime.tasks.wav import wav_bytes
from ..zoo.gallery.exhibit import Exhibit, Picture, Sound
from ..zoo.gallery.plots import Panel, lines
from .sound import HOP, MELS, SAMPLE_RATE
from .text import letters

if TYPE_CHECKING:
    from pathlib import Path

    from ..zoo.gallery.exhibit import Piece

_TEXTS = ("twenty one", "seven", "nine hundred thousand")


def exhibit(bundle: Path) -> Exhibit:
    """Texts with the frames that the bundle makes of them, and the sound that the runtime makes of these."""
    pieces: list[Piece] = []
    with load_task(bundle) as task:
        for text in _TEXTS:
            ids = np.array([letters(text)], np.int64)
            outputs = task.session.run({"letters": ids}, {"lengths": np.array([ids.shape[1]], np.int64)})
            frames = int(outputs["frames"][0])
            shades = (outputs["mel"][0, :frames].T, (0.0, frames * HOP / SAMPLE_RATE, 0.0, float(MELS)))
            png = lines(Panel(series={}, shades=shades, ylabel="mel band"), xlabel="seconds", title=text)
            found: Any = task(text)
            pieces += [
                Picture(png=png, about=f"The frames for '{text}': time goes to the right, brighter is louder."),
                Sound(wav=wav_bytes(found.samples, found.sample_rate), about=f"'{text}', {found.seconds:.2f} s"),
            ]
    return Exhibit(
        about="Number words by a small attention network that writes mel frames, and Griffin and Lim's method, which "
        "makes sound of them in NumPy. The voice that was learned from is slt of flite.",
        pieces=tuple(pieces),
    )
