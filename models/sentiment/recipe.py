"""How ``sentiment.safetensors`` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ...runtime.tasks.tokenizers import encoder
from ..datasets.vader import load_lexicon, load_snippets
from ..ragged import pad
from ..training import Recipe, fit, seeded
from ..training.batches import buckets
from ..zoo.running import TorchRunner
from .data import parts, to_held_out
from .face import FACE
from .model import SentimentNet, build
from .scoring import score
from .words import choose_words, cut_apart, load_words, save_words, tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..datasets.vader import Snippet
    from ..zoo.system import Training

RECIPE = Recipe(
    steps=1_400,
    batch_size=64,
    learning_rate=3e-3,
    weight_decay=0.05,
    schedule="one_cycle",
    average_decay=0.995,
    validate_every=100,
)

#: How sure the target is: a text of mean rating r is positive with the probability sigmoid(SURENESS * r). Texts near 0
#: teach with the weight of their doubt, instead of by a sign that is chance.
SURENESS = 1.5
#: How often a word is given in pieces although it is known, so that pieces mean something; and one that stands in few
#: texts.
PIECES, RARE_PIECES = 0.03, 0.3
#: Training texts in which a word stands, below which it is rare.
RARE_BELOW = 4


def train(training: Training) -> SentimentNet:
    """Train the model with the lexicon.

    Raises:
        MissingDataError: the texts are neither installed nor in the folder that was given.
    """
    return train_with(training, load_lexicon(training.data))


def train_with(training: Training, lexicon: Mapping[str, float]) -> SentimentNet:
    """Train the model with the valences of these words; none for a model that knows nothing but its texts."""
    found = parts(load_snippets(training.data))
    texts = _Texts(found["training"])
    judged = to_held_out(found["validation"], {})
    recipe = RECIPE.for_training(training)

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        for rows in buckets(texts.lengths, recipe.batch_size, generator):
            yield texts.batch(rows, generator)

    with seeded(recipe.seed):
        module = build()
    module.valence.copy_(valences(lexicon))
    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=lambda module: score(TorchRunner(module, FACE), judged).value,
        folder=training.folder,
        report=training.report,
    )
    assert isinstance(fitted.module, SentimentNet)
    return fitted.module


def write_words(folder: Path | None) -> None:
    """Make the committed table of words again, from the training texts and the lexicon.

    Args:
        folder: holds the unpacked package; None where it is installed.
    """
    texts = [snippet.text for snippet in parts(load_snippets(folder))["training"]]
    save_words(*choose_words(texts, load_lexicon(folder)))


def valences(lexicon: Mapping[str, float]) -> torch.Tensor:
    """Each word's valence, halved to be about 1, and whether it has one: float32 `(words, 2)`."""
    symbols, _ = load_words()
    return torch.tensor([(lexicon.get(symbol, 0.0) / 2, float(symbol in lexicon)) for symbol in symbols])


class _Texts:
    """The training texts as ids, some words now and then in pieces."""

    def __init__(self, snippets: list[Snippet]) -> None:
        symbols, _ = load_words()
        cut = encoder(tokenizer(symbols))
        self._ids = [np.array(cut.encode(one.text), dtype=np.int64) for one in snippets]
        self._targets = torch.sigmoid(SURENESS * torch.tensor([one.rating for one in snippets]))
        self.lengths = np.array([len(ids) for ids in self._ids])
        seen = np.bincount(np.concatenate([np.unique(ids) for ids in self._ids]), minlength=len(symbols))
        self._chance = np.where(seen < RARE_BELOW, RARE_PIECES, PIECES)
        self._pieces = cut_apart(symbols)

    def batch(
        self, rows: np.ndarray[tuple[int], np.dtype[np.int64]], generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids int64 `(batch, time)`, lengths int64 `(batch,)`, and the probability float32 `(batch,)` of positive."""
        tokens, lengths = pad([self._varied(self._ids[row], generator) for row in rows])
        return torch.from_numpy(tokens), torch.from_numpy(lengths), self._targets[torch.from_numpy(rows)]

    def _varied(
        self, ids: np.ndarray[tuple[int], np.dtype[np.int64]], generator: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        chosen = generator.random(len(ids)) < self._chance[ids]
        return np.array(
            [piece for number, cut in zip(ids, chosen, strict=True) for piece in self._either(int(number), cut=cut)],
            dtype=np.int64,
        )

    def _either(self, number: int, *, cut: bool) -> list[int]:
        return self._pieces.get(number, [number]) if cut else [number]


def _loss(
    module: SentimentNet, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], _: None
) -> tuple[torch.Tensor, None]:
    """Cross-entropy against the probability that a text is positive."""
    tokens, lengths, target = batch
    logits, _attention = module(tokens, lengths)
    return functional.cross_entropy(logits, torch.stack((1 - target, target), dim=1)), None
