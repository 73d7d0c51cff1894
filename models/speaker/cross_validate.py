"""How a recipe was judged before the test split was ever looked at: on folds of the training split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np
import torch

from .data import NUM_SPEAKERS, load
from .evaluate import Score, score
from .model import predictor
from .progress import progress
from .train import Recipe, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .data import Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Folding:
    """How the training split is cut.

    Attributes:
        folds: parts of equal size, each with every speaker.
        shuffle: deal each speaker's utterances out by chance. Not done by default: utterances that follow each other
            resemble each other, and a fold of successive ones is as strange to the rest as another occasion is.
        few: learn from one fold and answer all others, instead of the other way round: harder, so that
            recipes of which each answers nearly all can still be told apart.
    """

    folds: int = 5
    shuffle: bool = False
    few: bool = False


def split_folds(split: Split, folding: Folding, *, seed: int = 0) -> Iterator[tuple[Split, Split]]:
    """Cut a split into pairs: what to learn from and what to answer, one pair per fold."""
    generator = np.random.default_rng(seed)
    fold = np.zeros(len(split.labels), dtype=np.int64)
    for speaker in range(NUM_SPEAKERS):
        own = np.flatnonzero(split.labels == speaker)
        position = np.arange(len(own))
        fold[own] = (generator.permutation(position) if folding.shuffle else position) * folding.folds // len(own)
    for number in range(folding.folds):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        learn, answer = (inside, outside) if folding.few else (outside, inside)
        yield split.select(learn), split.select(answer)


@click.command()
@click.option("--folds", type=click.IntRange(min=2, max=30), default=Folding().folds, show_default=True)
@click.option("--shuffle", is_flag=True, help="Folds by chance instead of successive utterances.")
@click.option("--few", is_flag=True, help="Learn from one fold, answer the others.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings per fold.")
@click.option("--steps", type=click.IntRange(min=1), default=Recipe().steps, show_default=True)
def main(*, folds: int, shuffle: bool, few: bool, seeds: int, steps: int) -> None:
    """Measure the recipe on folds of the training split; the test split is not read."""
    torch.set_num_threads(1)
    folding = Folding(folds=folds, shuffle=shuffle, few=few)
    scores = []
    for seed in range(seeds):
        for number, (learn, answer) in enumerate(split_folds(load("train"), folding), start=1):
            with progress(steps, label=f"seed {seed}, fold {number} of {folds}") as report:
                model = train(learn, Recipe(seed=seed, steps=steps), report)
            scores.append(score(predictor(model), answer))
        _print(f"seed {seed}", scores[-folds:])
    _print("all", scores)


def _print(label: str, scores: list[Score]) -> None:
    total = Score(correct=sum(one.correct for one in scores), total=sum(one.total for one in scores))
    click.echo(f"{label}: {total.correct} of {total.total} right ({total.accuracy:.2%})")


if __name__ == "__main__":
    main()
