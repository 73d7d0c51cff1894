"""Measure the recipe on subjects that are left out: `python -m rnnx.models.activity.cross_validate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ..datasets.watch import load_recordings
from ..zoo.running import TorchRunner
from .data import TRAIN_SUBJECTS, gather
from .recipe import RECIPE, fitted
from .scoring import score
from .system import FACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..zoo.system import Score

_ALL = tuple(range(1, 11))


def folds(subjects: Sequence[int], left_out: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of subjects to learn from and to ask; each is asked once, `left_out` at a time, in their order."""
    for start in range(0, len(subjects), left_out):
        asked = tuple(subjects[start : start + left_out])
        yield tuple(one for one in subjects if one not in asked), asked


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="An unpacked wheel.")
@click.option("--left-out", type=click.IntRange(min=1, max=5), default=2, show_default=True, help="Subjects at a time.")
@click.option("--train-only", is_flag=True, help="Only the subjects 1 to 7: what settings are chosen by.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=RECIPE.steps, show_default=True)
def main(*, data: Path | None, left_out: int, train_only: bool, seed: int, steps: int) -> None:
    """Train once for each group of subjects, on all others, and ask it for the group."""
    recordings = load_recordings(data)
    found: list[Score] = []
    for learn, asked in folds(TRAIN_SUBJECTS if train_only else _ALL, left_out):
        model = fitted(gather(recordings, learn), replace(RECIPE, seed=seed, steps=steps))
        found.append(score(TorchRunner(model, FACE), gather(recordings, asked)))
        parts = ", ".join(f"{name} {value:.3f}" for name, value in found[-1].details.items())
        click.echo(f"left out {asked}: {found[-1].value:.4f} of {found[-1].count} windows; {parts}")
    counts = [one.count for one in found]
    mean = float(np.average([one.value for one in found], weights=counts))
    click.echo(f"all: {mean:.4f} of {sum(counts)} windows")


if __name__ == "__main__":
    main()
