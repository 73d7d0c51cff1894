"""What image captioning shows in the gallery: scenes, what the bundle says of them, and where it looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.session import load
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import overlays
from ..zoo.running import BundleRunner
from .face import FACE
from .scenes import PARTS
from .scoring import SCENES, feed
from .words import SENTENCES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .drawings import Example

#: Scenes of each part, and where their random numbers begin.
_SCENES, _SEED = 2, 3_000_003


def exhibit(bundle: Path) -> Exhibit:
    """New scenes of every part, each with a strip of attention maps."""
    shown = [one for part in PARTS for one in SCENES.examples(_SCENES, _SEED + PARTS.index(part), part)]
    with load(bundle) as session:
        answer = BundleRunner(session, FACE).run(feed([one.shown for one in shown]))
    pieces = []
    for example, tokens, maps in zip(shown, answer["tokens"].tolist(), answer["attention"], strict=True):
        said = SENTENCES.decode(tokens)
        verdict = "right" if said == example.caption else f"it shows {example.caption}"
        what = "" if example.part == "seen" else f", {example.part}"
        about = f"'{said}' ({verdict}{what}). The scene, then where the model looked for each word."
        pieces.append(Picture(png=_drawn(example, maps, said.split()), about=about))
    return Exhibit(
        about="Scenes of Noto Emoji (Apache-2.0) and what the bundle says of them. Bright is where it looked.",
        pieces=tuple(pieces),
    )


def _drawn(example: Example, maps: NDArray[np.float32], words: list[str]) -> bytes:
    return overlays(example.shown.transpose(1, 2, 0), maps[: len(words)], words)
