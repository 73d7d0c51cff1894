"""The held-out recordings: a person says each word of the vocabulary once, on the telephone.

``python -m rnnx.models.speech.held_out --data FOLDER`` writes the committed file anew from the Debian package.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ...atomic import write_atomically
from ..datasets.asterisk import number_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The recordings are under CC-BY-SA-3.0, apart from everything else here: see LICENSE.asterisk-core-sounds.
FILE = Path(__file__).with_name("allison.npz")

_MU = 255.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Recordings of a person.

    Attributes:
        words: what is said, one word each.
        sounds: float32 ``(samples,)`` each at 8 kHz, from -1 to 1.
    """

    words: tuple[str, ...]
    sounds: tuple[NDArray[np.float32], ...]


def load_held_out() -> HeldOut:
    """The committed recordings."""
    with np.load(FILE, allow_pickle=False) as kept:
        ends = np.cumsum(kept["lengths"])
        sounds = np.split(expanded(kept["codes"]), ends[:-1])
        return HeldOut(words=tuple(str(word) for word in kept["words"]), sounds=tuple(sounds))


def compressed(samples: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Samples from -1 to 1 in 8 bits: equal steps of ``sign(x) ln(1 + 255 |x|) / ln(256)``, the law of ITU-T G.711."""
    curve = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.asarray(np.round((curve + 1.0) * (_MU / 2.0)), np.uint8)


def expanded(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The samples that :func:`compressed` took, as near as 8 bits hold them."""
    curve = codes.astype(np.float64) * (2.0 / _MU) - 1.0
    return np.asarray(np.sign(curve) * np.expm1(np.abs(curve) * np.log1p(_MU)) / _MU, np.float32)


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where the package was unpacked.")
def main(data: Path | None) -> None:
    """Write the recordings of the Debian package to the committed file."""
    words = number_words(data)
    codes = [compressed(samples) for samples in words.values()]
    stream = io.BytesIO()
    lengths = np.array([len(one) for one in codes])
    np.savez_compressed(stream, words=np.array(list(words)), codes=np.concatenate(codes), lengths=lengths)
    write_atomically(FILE, stream.getvalue())
    click.echo(f"{FILE}: {len(words)} words, {int(lengths.sum()) / 8000:.1f} s, {stream.tell()} bytes")


if __name__ == "__main__":
    main()
