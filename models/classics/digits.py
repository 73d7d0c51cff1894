"""Digits pixel by pixel, by rectified units that begin at the identity.

Le, Jaitly and Hinton (2015), "A simple way to initialize recurrent networks of rectified linear units",
arXiv:1504.00941, section 4.2: a picture is read one pixel a step, and named after the last. There 784 pixels of MNIST,
here the 256 of smaller pictures, enlarged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..datasets import digits
from ..training import Recipe, fit, seeded
from ..training.batches import shuffled
from ..zoo.system import Face, Score
from . import plain
from .networks import Stepwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Runner, Training

    #: Float32 ``(pictures, 256, 1)``, 0 for paper to 1 for ink, and labels, int64 ``(pictures,)``.
    Pictures = tuple[NDArray[np.float32], NDArray[np.int64]]

#: Height and width of a picture as it is read, and as the source has it: over 64 steps a beginning at random will do.
SIDE, _SOURCE = 16, 8
CLASSES = 10
HIDDEN = 100

FACE = Face(inputs=("x: float32[batch, time, 1]",), outputs=("logits",), streaming="on")
RECIPE = Recipe(steps=3000, batch_size=32, learning_rate=1e-3, weight_decay=0.0, validate_every=375, average_decay=0.99)

#: Networks that are compared with. Of three rates each that of the best validation was taken; see `DATA.md`.
OTHERS = (
    plain.Other(name="digits_relu", about="ReLU begun at random", begun="relu", learning_rate=1e-3),
    plain.Other(name="digits_tanh", about="tanh begun at random", begun="tanh", learning_rate=3e-3),
    plain.Other(name="digits_lstm", about="LSTM after 1,500 steps", begun="keeping", learning_rate=3e-3, steps=1_500),
)

HELD_OUT = Path(__file__).with_name("digits.npz")

#: In the source's order, which goes from writer to writer: what is learned from, what chooses, and what is held out.
_LEARNED, _CHOSEN = slice(0, 1147), slice(1147, 1347)
SCORED = slice(1347, 1797)
_INK = 16


def prepare(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Pictures:
    """What goes into the network: the pictures enlarged, values from 0 to 1, a pixel a step.

    Args:
        pixels: uint8 ``(pictures, 64)``, 0 to 16.
        labels: int64 ``(pictures,)``.
    """
    small = pixels.reshape(-1, _SOURCE, _SOURCE).astype(np.float32) / np.float32(_INK)
    weights = _enlarging()
    return (weights @ small @ weights.T).reshape(len(small), SIDE * SIDE, 1), labels


def _enlarging() -> NDArray[np.float32]:
    """What each pixel of an enlarged row has of each of the row: bilinear, as Pillow's ``resize``; ``(16, 8)``."""
    centres = (np.arange(SIDE) + 0.5) * _SOURCE / SIDE - 0.5
    apart = np.abs(np.clip(centres, 0, _SOURCE - 1)[:, np.newaxis] - np.arange(_SOURCE))
    weights: NDArray[np.float32] = np.maximum(0, 1 - apart).astype(np.float32)
    return weights


def held_out() -> Pictures:
    """The pictures to score, as committed."""
    with np.load(HELD_OUT, allow_pickle=False) as archive:
        return prepare(archive["pixels"], archive["labels"].astype(np.int64))


def build() -> Stepwise:
    """The network with fresh weights."""
    return make("irnn")


def make(layer: str) -> Stepwise:
    """A network of this layer; see :data:`.networks.LAYERS`."""
    return Stepwise(layer, features=1, hidden_size=HIDDEN, outputs=CLASSES, between=(0.0, 1.0))


def train(training: Training) -> nn.Module:
    """Train the network on scikit-learn's digits.

    Raises:
        MissingDataError: they are neither installed nor in ``training.data``.
    """
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()
    return learn(module, recipe, training)


def learn(module: Stepwise, recipe: Recipe, training: Training) -> nn.Module:
    """Train any network that scores the digits at every pixel."""
    pixels, labels = (torch.from_numpy(array) for array in prepare(*digits.load(training.data)))

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        for rows in shuffled(len(labels[_LEARNED]), recipe.batch_size, generator):
            yield pixels[_LEARNED][rows], labels[_LEARNED][rows]

    def validate(model: Stepwise) -> float:
        scores = model.last(pixels[_CHOSEN].to(next(model.parameters()).device))
        return _accuracy(scores.cpu().numpy(), labels[_CHOSEN].numpy())

    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=validate,
        folder=training.folder,
        report=training.report,
    )
    return fitted.module


def _loss(module: Stepwise, batch: tuple[torch.Tensor, ...], _state: Any) -> tuple[torch.Tensor, None]:  # noqa: ANN401
    pixels, labels = batch
    return cross_entropy(module.last(pixels), labels), None


def evaluate(runner: Runner, examples: Pictures) -> Score:
    """The share of pictures that are named right after their last pixel, beside other networks of 100 units."""
    pixels, labels = examples
    logits = np.concatenate([runner.run({"x": part})["logits"][:, -1] for part in np.array_split(pixels, 4)])
    details = {other.about: _accuracy(other.load().run(pixels)[:, -1], labels) for other in OTHERS}
    details["always the most frequent digit"] = float(np.bincount(labels).max() / len(labels))
    return Score(value=_accuracy(logits, labels), count=len(labels), details=details)


def _accuracy(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())
