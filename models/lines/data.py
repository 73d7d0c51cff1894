"""Lines to learn from, drawn as they are needed; and the held-out ones, committed as `held_out.npz`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets import fonts, moby_dick
from ..ragged import alike
from . import texts
from .alphabet import encode
from .augment import degrade
from .drawing import draw
from .model import HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HELD_OUT = Path(__file__).with_name("held_out.npz")
#: Most characters of a line to learn from, and of a held-out line.
LONGEST, LONGEST_UNSEEN = 30, 44
#: Held-out lines of each font file.
_OF_EACH = 20
#: Grey levels that a held-out line keeps, so that the file is small.
_LEVELS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line and what it says.

    Attributes:
        image: float32 ``(32, width)``, 0 black to 1 white.
        text: what it says.
        font: the stem of its font file.
    """

    image: NDArray[np.float32]
    text: str
    font: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What lines of one part are drawn from.

    Attributes:
        book: words of some chapters.
        files: font files.
    """

    book: Sequence[str]
    files: Sequence[Path]


#: The fonts of each part, and those that come to them in the second part of a training.
_FONTS = {
    "learnt": (fonts.FIRST, fonts.LATER),
    "chosen_by": (fonts.CHOSEN_BY, fonts.CHOSEN_BY_LATER),
    "unseen": (fonts.UNSEEN, ()),
}


def source(part: str, folder: Path | None, *, later: bool = False) -> Source:
    """The fonts and the chapters of one part.

    Args:
        part: ``learnt``, ``chosen_by`` or ``unseen``.
        folder: holds the unpacked packages at any depth; None where they are installed.
        later: with the fonts of the second part of a training.

    Raises:
        MissingDataError, AlteredDataError: the fonts or the book are not there.
    """
    first, others = _FONTS[part]
    packages = (*first, *others) if later else first
    return Source(book=texts.words(moby_dick.load(folder), part), files=fonts.load(packages, folder))


def drawn(part: Source, count: int, generator: np.random.Generator) -> list[Line]:
    """Draw lines in fonts at random, and degrade them."""
    lines = []
    for _ in range(count):
        font = part.files[int(generator.integers(len(part.files)))]
        text = texts.line(part.book, LONGEST, generator)
        image = draw(text, font, generator)
        lines.append(Line(image=degrade(image, generator), text=text, font=font.stem))
    return lines


def together(lines: Sequence[Line]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Lines as a batch: images ``(batch, 1, 32, width)``, white behind each line's end, and widths ``(batch,)``."""
    widths = np.array([line.image.shape[1] for line in lines], dtype=np.int64)
    images = np.ones((len(lines), 1, HEIGHT, int(widths.max())), np.float32)
    for image, line in zip(images, lines, strict=True):
        image[0, :, : line.image.shape[1]] = line.image
    return images, widths


def batches_of(lines: Sequence[Line], size: int) -> list[NDArray[np.int64]]:
    """Which lines go together: those of like width, at most ``size`` of them."""
    return alike((line.image.shape[1] for line in lines), size)


def targets(lines: Sequence[Line]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes of all lines one after the other, and how many each has."""
    classes = [encode(line.text) for line in lines]
    return np.concatenate(classes), np.array([len(one) for one in classes], dtype=np.int64)


def make_held_out(folder: Path | None, seed: int = 0) -> bytes:
    """Draw the held-out lines again; the same bytes where FreeType and zlib are the same.

    Raises:
        MissingDataError, AlteredDataError: the fonts or the book are not there.
    """
    unseen = source("unseen", folder)
    generator = np.random.default_rng(seed)
    images, said, names = [], [], []
    for font in unseen.files:
        for _ in range(_OF_EACH):
            said.append(texts.line(unseen.book, LONGEST_UNSEEN, generator))
            names.append(font.stem)
            step = 255 // (_LEVELS - 1)
            images.append((draw(said[-1], font, generator).astype(np.int64) + step // 2) // step * step)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        # Row by row over all lines: what is white stays together, which compresses best.
        pixels=np.concatenate(images, axis=1).astype(np.uint8),
        widths=np.array([image.shape[1] for image in images], dtype=np.int64),
        texts=np.array(said),
        fonts=np.array(names),
    )
    return file.getvalue()


def load() -> tuple[Line, ...]:
    """The held-out lines, as they were drawn: black on white."""
    return unpack(HELD_OUT.read_bytes())


def unpack(content: bytes) -> tuple[Line, ...]:
    """The lines that :func:`make_held_out` packed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        ends = np.cumsum(stored["widths"])[:-1]
        images = np.split(stored["pixels"].astype(np.float32) / 255, ends, axis=1)
        pairs = zip(images, stored["texts"].tolist(), stored["fonts"].tolist(), strict=True)
        return tuple(Line(image=image, text=text, font=font) for image, text, font in pairs)


def degraded(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The same lines as a bad camera would give them: each always changed alike, by its place."""
    changed = []
    for place, line in enumerate(lines):
        image = degrade(np.round(line.image * 255).astype(np.uint8), np.random.default_rng(place))
        changed.append(Line(image=image, text=line.text, font=line.font))
    return tuple(changed)
