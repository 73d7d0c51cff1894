"""How the voice is trained: one synthetic speaker says number words, and the model learns her frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..datasets.flite import FliteVoice
from ..datasets.spoken import corpus
from ..features import LogMel
from ..ragged import pad
from ..training import Recipe, fit, seeded
from ..training.batches import buckets
from .model import GROUP, Speaker, build
from .sound import FFT_SIZE, FLOOR, HOP, MELS, SAMPLE_RATE, WINDOW
from .text import letters
from .texts import training_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from ..zoo.system import Training

#: Who is learned: the voice ``slt`` of flite, a woman from the United States, who here speaks as one announces numbers:
#: slower than by herself.
VOICE = FliteVoice(speaker="slt", stretch=1.3)

_KEPT_BACK = 60
#: Of full scale for a sample of 1, one factor for all clips: how loud a word is, flite says. It leaves room for what
#: Griffin and Lim's phases add. And samples of silence behind a clip.
_LOUDNESS, _AFTER = 0.6 / 32768, 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What decides a checkpoint.

    Attributes:
        recipe: of the training module.
        stop_weight: of the loss of the stop signal beside that of the frames.
    """

    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            steps=3000, batch_size=24, learning_rate=3e-3, average_decay=0.995, validate_every=250
        )
    )
    stop_weight: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A text and its frames.

    Attributes:
        letters: int64 ``(letters,)``.
        frames: float32 ``(frames, mels)``, as many as fill groups.
    """

    letters: NDArray[np.int64]
    frames: NDArray[np.float32]


def train(training: Training, plan: Plan | None = None) -> nn.Module:
    """Train the voice; ``training.data`` is where flite's sound is kept.

    Raises:
        MissingDataError: ``flite`` is not installed.
    """
    plan = plan or Plan()
    examples = load(training_texts(), training.data)
    kept_back, examples = examples[-_KEPT_BACK:], examples[:-_KEPT_BACK]
    recipe = plan.recipe.for_training(training)
    with seeded(recipe.seed):
        model = build()
    known = np.concatenate([one.frames for one in examples])
    model.mean.copy_(torch.from_numpy(known.mean(0)))
    model.std.copy_(torch.from_numpy(known.std(0)))

    def batches(generator: np.random.Generator) -> Iterator[tuple[Tensor, ...]]:
        for rows in buckets([len(one.frames) for one in examples], recipe.batch_size, generator):
            yield _batch([examples[row] for row in rows])

    judged = [_batch(kept_back[first : first + 30]) for first in range(0, _KEPT_BACK, 30)]
    return fit(
        model,
        batches,
        lambda module, batch, _: (loss(module, batch, plan.stop_weight), None),
        recipe,
        validate=lambda module: float(np.mean([loss(module, batch, plan.stop_weight).item() for batch in judged])),
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    ).module


def said(texts: Sequence[str], folder: Path | None) -> list[NDArray[np.float32]]:
    """What the voice says, float32 ``(samples,)`` each at 8 kHz."""
    return [clip * np.float32(_LOUDNESS) for clip in corpus(VOICE, texts, folder).clips]


def load(texts: Sequence[str], folder: Path | None) -> list[Example]:
    """What the voice says, as frames."""
    front = front_end()
    examples = []
    for text, sound in zip(texts, said(texts, folder), strict=True):
        size = len(sound) + _AFTER
        size += -size % (HOP * GROUP)
        samples = torch.from_numpy(np.pad(sound, (0, size - len(sound))))
        frames = front(samples.unsqueeze(0))[0].numpy()
        examples.append(Example(letters=np.array(letters(text), np.int64), frames=frames))
    return examples


def front_end() -> LogMel:
    """What makes the frames; :data:`rnnx.models.voice.sound.WRITE` undoes it."""
    return LogMel(
        sample_rate=SAMPLE_RATE,
        window=WINDOW,
        hop=HOP,
        fft_size=FFT_SIZE,
        num_mels=MELS,
        low_hz=0.0,
        floor=FLOOR,
    )


def loss(module: Any, batch: tuple[Tensor, ...], stop_weight: float) -> Tensor:  # noqa: ANN401  (a Speaker)
    """Mean distance of the frames, and the stop signal's cross-entropy."""
    text, lengths, frames, counts = batch
    model: Speaker = module
    rows, steps = frames.shape[0], frames.shape[1] // GROUP
    wanted = ((frames - model.mean) / model.std).reshape(rows, steps, GROUP * MELS)
    values = model.encode(text, lengths)
    state = model.begin(values)
    groups, stops = [], []
    for _ in range(steps):
        group, stop, state = model.step(state, values, lengths)
        groups.append(group)
        stops.append(stop)
    own = torch.arange(steps) < (counts // GROUP).unsqueeze(1)
    distance = (torch.stack(groups, 1) - wanted).abs().mean(-1)
    ended = torch.arange(steps) >= (counts // GROUP - 1).unsqueeze(1)
    missed = nn.functional.binary_cross_entropy_with_logits(torch.stack(stops, 1), ended.float(), reduction="none")
    # A stop is one step of many: what is missed there weighs more.
    missed = missed * torch.where(ended, 5.0, 1.0)
    return (distance[own].mean() + stop_weight * missed[own].mean()).mean()


def _batch(examples: Sequence[Example]) -> tuple[Tensor, ...]:
    text, lengths = pad([one.letters for one in examples])
    frames, counts = pad([one.frames for one in examples], value=float(np.log(FLOOR)))
    return torch.from_numpy(text), torch.from_numpy(lengths), torch.from_numpy(frames), torch.from_numpy(counts)
