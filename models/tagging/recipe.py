"""How ``tagging.safetensors`` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ..datasets.usaddress import Address, load_addresses
from ..training import Recipe, fit, seeded
from ..training.batches import buckets
from ..zoo.running import TorchRunner
from .data import parts, spell
from .face import FACE, LABELS
from .model import AddressTagger, build
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..zoo.system import Training

RECIPE = Recipe(
    steps=3_000,
    batch_size=32,
    learning_rate=3e-3,
    weight_decay=0.05,
    schedule="one_cycle",
    average_decay=0.995,
    validate_every=200,
)

#: How often a run of words of one label is replaced by another of the same label, from another address.
_SWAPPED = 0.3
#: How often the digits of a word are drawn anew; and how often an address loses its commas, its upper case, or has no
#: lower case.
_DIGITS, _PLAIN, _LOWER, _UPPER = 0.5, 0.1, 0.1, 0.15


def train(training: Training) -> AddressTagger:
    """Train the model.

    Raises:
        MissingDataError: the addresses are neither installed nor in the folder that was given.
    """
    found = parts(load_addresses(training.data))
    varied = Varied(found["training"])
    recipe = RECIPE.for_training(training)

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        lengths = [len(one.words) for one in found["training"]]
        for rows in buckets(lengths, recipe.batch_size, generator):
            chosen = [varied.draw(int(row), generator) for row in rows]
            letters, sizes = spell([one.words for one in chosen])
            targets = np.full(letters.shape[:2], -1, np.int64)
            for line, one in zip(targets, chosen, strict=True):
                line[: len(one.labels)] = [LABELS.index(label) for label in one.labels]
            yield torch.from_numpy(letters), torch.from_numpy(sizes), torch.from_numpy(targets)

    with seeded(recipe.seed):
        module = build()
    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=lambda module: score(TorchRunner(module, FACE), found["validation"]).value,
        folder=training.folder,
        report=training.report,
    )
    assert isinstance(fitted.module, AddressTagger)
    return fitted.module


class Varied:
    """Addresses that are never quite the same: there are few, and their parts can be put together anew."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        """Take the addresses that may be learned from."""
        self._addresses = addresses
        self._runs: dict[str, list[tuple[str, ...]]] = {}
        for one in addresses:
            for label, words in _runs(one):
                self._runs.setdefault(label, []).append(words)

    def draw(self, number: int, generator: np.random.Generator) -> Address:
        """One of the addresses, changed."""
        words: list[str] = []
        labels: list[str] = []
        for label, run in _runs(self._addresses[number]):
            if generator.random() < _SWAPPED:
                others = self._runs[label]
                taken = others[int(generator.integers(len(others)))]
                # Commas belong to the place, not to the words.
                ended = taken[-1].rstrip(",;") + run[-1][len(run[-1].rstrip(",;")) :]
                run = (*taken[:-1], ended or run[-1])  # noqa: PLW2901  (the run that is used)
            words += [_digits(word, generator) if generator.random() < _DIGITS else word for word in run]
            labels += [label] * len(run)
        if generator.random() < _PLAIN:
            words = [word.rstrip(",;") or word for word in words]
        chance = generator.random()
        if chance < _LOWER + _UPPER:
            words = [word.lower() if chance < _LOWER else word.upper() for word in words]
        return Address(words=tuple(words), labels=tuple(labels))


def _runs(address: Address) -> list[tuple[str, tuple[str, ...]]]:
    """Neighbours of one label."""
    found: list[tuple[str, list[str]]] = []
    for word, label in zip(address.words, address.labels, strict=True):
        if found and found[-1][0] == label:
            found[-1][1].append(word)
        else:
            found.append((label, [word]))
    return [(label, tuple(words)) for label, words in found]


def _digits(word: str, generator: np.random.Generator) -> str:
    """Other digits; a first one that is not 0 stays so."""
    return "".join(
        str(int(generator.integers(letter != "0" and not place, 10))) if letter in "0123456789" else letter
        for place, letter in enumerate(word)
    )


def _loss(
    module: AddressTagger, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], _: None
) -> tuple[torch.Tensor, None]:
    """Cross-entropy of the words, a little of it spread over all labels: people who label err, too."""
    letters, lengths, targets = batch
    logits = module(letters, lengths)
    return functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1, label_smoothing=0.05), None
