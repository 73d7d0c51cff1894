"""What the recogniser reads back of the voice that was learned from: ``python -m rnnx.models.voice.ceiling``.

No figure of the learned voice means more than this one. It needs ``flite``, so it is no part of the score.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.tasks.griffin_lim import mel_to_samples
from .recipe import load, said
from .scoring import score
from .sound import SAMPLE_RATE, WRITE
from .texts import held_out

if TYPE_CHECKING:
    from ..zoo.system import Score


def ceilings(folder: Path | None = None) -> dict[str, Score]:
    """The score of what flite says, and of the sound that is made of its frames, on the held-out texts.

    Args:
        folder: where flite's sound is kept, as ``training.data``.

    Raises:
        MissingDataError: ``flite`` is not installed.
    """
    texts = held_out()
    assert WRITE.mel is not None
    frames = [mel_to_samples(one.frames, WRITE.mel, SAMPLE_RATE) for one in load(texts, folder)]
    return {"sound": score(texts, said(texts, folder)), "frames": score(texts, frames)}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Where flite's sound is kept.")
def main(data: Path | None) -> None:
    """Say the held-out texts with flite itself, and print what is read back."""
    for name, found in ceilings(data).items():
        parts = ", ".join(f"{part} {value:.3f}" for part, value in found.details.items())
        click.echo(f"flite's {name}: {found.value:.3f} of {found.count} words ({parts})")


if __name__ == "__main__":
    main()
