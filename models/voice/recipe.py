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
from ..speech.words import WORDS
from ..training import Recipe, fit, seeded
from ..training.batches import buckets, pad
from .model import GROUP, Speaker, build
from .sound import FFT_SIZE, FLOOR, HOP, MELS, SAMPLE_RATE, WINDOW
from .text import letters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from ..zoo.system import Training

#: Who is learned: the voice ``slt`` of flite, a woman from the United States.
VOICE = FliteVoice(speaker="slt")

_RUNS, _KEPT_BACK = 560, 60
#: Loudest sample of a clip, and samples of silence behind it.
_PEAK, _AFTER = 0.5, 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What decides a checkpoint.

    Attributes:
        recipe: of the training module.
        stop_weight: of the loss of the stop signal beside that of the frames.
    """

    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            steps=1600, batch_size=24, learning_rate=3e-3, average_decay=0.995, validate_every=300
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


def training_texts() -> tuple[str, ...]:
    """Every word alone, and runs of two to four words."""
    generator = np.random.default_rng(30)
    runs = dict.fromkeys(" ".join(generator.choice(WORDS, size=generator.integers(2, 5))) for _ in range(_RUNS))
    return (*WORDS, *runs)


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


def load(texts: Sequence[str], folder: Path | None) -> list[Example]:
    """What the voice says, as frames."""
    front = front_end()
    said = corpus(VOICE, texts, folder)
    examples = []
    for text, clip in zip(said.texts, said.clips, strict=True):
        sound = clip.astype(np.float32) * (_PEAK / float(np.abs(clip.astype(np.int32)).max()))
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
    """Mean distance of the frames, each given the true one before it, and the stop signal's cross-entropy."""
    text, lengths, frames, counts = batch
    model: Speaker = module
    rows, steps = frames.shape[0], frames.shape[1] // GROUP
    wanted = ((frames - model.mean) / model.std).reshape(rows, steps, GROUP * MELS)
    # The last frame of each group leads to the next group; silence to the first.
    silence = (torch.full_like(model.mean, FLOOR).log() - model.mean) / model.std
    given = torch.cat([silence.expand(rows, 1, MELS), wanted[:, :-1, -MELS:]], 1)
    values = model.encode(text, lengths)
    state = model.begin(values)
    groups, stops = [], []
    for t in range(steps):
        group, stop, state = model.step(given[:, t], state, values, lengths)
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
