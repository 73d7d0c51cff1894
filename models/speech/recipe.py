"""How the recognisers are trained: on synthetic voices, varied anew each time, by CTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...runtime import ctc
from ..datasets.spoken import Corpus, corpus
from ..ragged import alike, pad
from ..training import Recipe, fit, seeded
from ..training.batches import buckets
from ..zoo.edit_distance import edit_distance
from .augment import Augmentation, recording
from .scoring import STRIDE
from .varied import varied
from .voices import person, texts, training_voices, validation_voices
from .words import BLANK, WORDS, classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from ..datasets.spoken import Speaker, Voice
    from ..zoo.system import Training
    from .model import Recogniser

#: Batches that count as an epoch; the data is endless. So many are made at once, and each is used so many times, with
#: other parts of it hidden.
_BATCHES, _TOGETHER, _TIMES = 120, 8, 3
#: Kinds of recordings: a word alone, several put together, and a run that was said as one.
_WORD, _RUN = 0, 2
#: No class: what an answer is there does not matter.
IGNORED = -100
_ENDING = str.maketrans("", "", ".,?!")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What decides a checkpoint.

    Attributes:
        recipe: of the training module.
        augmentation: how recordings are varied.
        silence: share of recordings in which nobody speaks.
        people: share of recordings by voices that were built from people's recordings.
        words: share of recordings of one single word.
        masks: bands and frames hidden of a recording, the most of each at a time.
        alignment: weight of the answers that are known beside CTC.
        delay: answers by which a word may be told after its end: who looks back only knows "seven" from "seventeen"
            when nothing follows.
    """

    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            steps=5400, batch_size=32, learning_rate=3e-3, average_decay=0.99, validate_every=600
        )
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    silence: float = 0.03
    people: float = 0.65
    words: float = 0.6
    masks: tuple[int, int] = (5, 6)
    alignment: float = 2.0
    delay: int = 0


def load(voices: Sequence[Voice | Speaker], first: int, folder: Path | None) -> list[Corpus]:
    """What these voices say; ``first`` is the number of the first one's texts."""
    return [corpus(voice, texts(number), folder) for number, voice in enumerate(voices, first)]


def train(build: Callable[[], Recogniser], training: Training, plan: Plan | None = None) -> nn.Module:
    """Train a recogniser.

    Args:
        build: makes it.
        training: what a user asks for.
        plan: everything else.

    Raises:
        MissingDataError: ``flite`` or ``espeak-ng`` is not installed.
    """
    plan = plan or Plan()
    voices = training_voices()
    spoken = load(voices, 0, training.data)
    recipe = plan.recipe.for_training(training)
    draw = _drawer(spoken, [person(voice) for voice in voices], plan)
    with seeded(recipe.seed):
        model = build()
    _normalise(model, draw)
    kept_back = validation_voices()
    judged = validation(load(kept_back, len(voices), training.data), [person(one) for one in kept_back], plan.delay)

    def batches(generator: np.random.Generator) -> Iterator[tuple[Tensor, ...]]:
        for _ in range(_BATCHES // (_TOGETHER * _TIMES)):
            # Several batches are drawn at once and cut by length, so that little is filled up.
            drawn = [draw(generator) for _ in range(_TOGETHER * recipe.batch_size)]
            cut = buckets([len(one.sound) for one in drawn], recipe.batch_size, generator)
            made = [_batch(model, [drawn[row] for row in rows]) for rows in cut]
            for _ in range(_TIMES):
                for number in generator.permutation(len(made)):
                    yield made[number]

    return fit(
        model,
        batches,
        lambda module, batch, _: (loss(module, batch, plan), None),
        recipe,
        validate=lambda module: _error(module, judged),
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    ).module


def loss(module: Any, batch: tuple[Tensor, ...], plan: Plan) -> Tensor:  # noqa: ANN401  (a Recogniser)
    """The CTC loss of a batch of recordings, and the cross-entropy of the answers that are known.

    CTC alone (Graves et al., ICML 2006) learns nothing for many steps but to answer the blank. Where words begin and
    end is known here, as recordings are put together of clips, and shows the way.
    """
    features, frames, wanted, labels, counts = batch
    log_probs = module.encode(varied(features, plan.masks), frames)
    aligned = nn.functional.nll_loss(log_probs.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    total = nn.functional.ctc_loss(log_probs.transpose(0, 1), labels, frames, counts, zero_infinity=True)
    return total + plan.alignment * aligned


def validation(
    spoken: Sequence[Corpus], who: Sequence[str | None], delay: int = 0
) -> list[tuple[NDArray[np.float32], str]]:
    """Recordings of voices that were kept back, varied a little and always in the same way.

    Most are of people's voices, and of words alone, as what is held out is.
    """
    generator = np.random.default_rng(23)
    settings = Augmentation(warp=1.05, tempo=0.2, room=0.3, noise=0.5, quietest_snr_db=15.0)
    chosen = []
    for said, name in zip(spoken, who, strict=True):
        words, runs = (5, 1) if name is None else (16, 4)
        numbers = [*generator.choice(len(WORDS), words, replace=False)]
        numbers += [*generator.choice(np.arange(len(WORDS), len(said.texts)), runs, replace=False)]
        for number in numbers:
            sound, _ = recording([said.clips[number]], settings, generator)
            chosen.append((np.pad(sound, (0, delay * STRIDE)), said.texts[number].translate(_ENDING)))
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A recording, and what is said in it.

    Attributes:
        sound: float32 ``(samples,)``.
        labels: the classes of its words.
        frames: int64 ``(ceil(samples / STRIDE),)``, the class that each answer should be, or -100 where any will do.
    """

    sound: NDArray[np.float32]
    labels: list[int]
    frames: NDArray[np.int64]


def targets(
    size: int, spans: Sequence[tuple[int, int]], labels: Sequence[int | None], delay: int = 0
) -> NDArray[np.int64]:
    """What each answer should be, where that is known: a word's class towards its end, and the blank between words.

    Args:
        size: samples of the recording.
        spans: where each clip begins and ends.
        labels: the class of each clip; None for a clip of several words, whose borders are not known.
        delay: answers by which all of them are later.

    Returns:
        int64 ``(ceil(size / STRIDE),)``; -100 where any class will do.
    """
    wanted = np.full(-(-size // STRIDE), BLANK, np.int64)
    for span, label in zip(spans, labels, strict=True):
        begin, end = (place + delay * STRIDE for place in span)
        tail = end - 0.35 * (end - begin)
        if label is None:
            wanted[-(-begin // STRIDE) : end // STRIDE + 4] = IGNORED
        else:
            wanted[int((begin + tail) / 2 / STRIDE) : end // STRIDE + 4] = IGNORED
            wanted[int(tail / STRIDE) + 1 : end // STRIDE + 1] = label
    return wanted


def _drawer(
    spoken: Sequence[Corpus], who: Sequence[str | None], plan: Plan
) -> Callable[[np.random.Generator], Example]:
    """A function that makes one recording and its classes; each person's voices are drawn as often as another's."""
    others = [one for one, name in zip(spoken, who, strict=True) if name is None]
    names = sorted({name for name in who if name is not None})
    people = [[one for one, other in zip(spoken, who, strict=True) if other == name] for name in names]

    def draw(generator: np.random.Generator) -> Example:
        group = people[generator.integers(len(people))] if people and generator.random() < plan.people else others
        said = group[generator.integers(len(group))]
        kind = generator.choice(3, p=(plan.words, (1 - plan.words) / 2, (1 - plan.words) / 2))
        if generator.random() < plan.silence:
            numbers = np.zeros(0, np.int64)
        elif kind == _RUN:
            numbers = generator.integers(len(WORDS), len(said.texts), size=1)
        else:
            numbers = generator.integers(len(WORDS), size=1 if kind == _WORD else generator.integers(2, 5))
        sound, spans = recording([said.clips[number] for number in numbers], plan.augmentation, generator)
        sound = np.pad(sound, (0, plan.delay * STRIDE))
        words = [classes(said.texts[number].translate(_ENDING)) for number in numbers]
        frames = targets(len(sound), spans, [one[0] if len(one) == 1 else None for one in words], plan.delay)
        return Example(sound=sound, labels=[one for clip in words for one in clip], frames=frames)

    return draw


@torch.no_grad()  # nothing in the front end is trained
def _batch(model: Recogniser, examples: Sequence[Example]) -> tuple[Tensor, ...]:
    """Normalised bands, their answers, the answers that are known, and the words of all rows with their counts."""
    samples, _ = pad([one.sound for one in examples])
    features = model.features(torch.from_numpy(samples).to(model.mean.device))
    wanted, frames = pad([one.frames for one in examples], value=IGNORED)
    labels = torch.tensor([label for one in examples for label in one.labels])
    counts = torch.tensor([len(one.labels) for one in examples])
    return features, torch.from_numpy(frames), torch.from_numpy(wanted), labels, counts


def _normalise(model: Recogniser, draw: Callable[[np.random.Generator], Example]) -> None:
    """Write the bands' mean and deviation into the model."""
    generator = np.random.default_rng(24)
    sounds = [torch.from_numpy(draw(generator).sound).unsqueeze(0) for _ in range(300)]
    with torch.no_grad():
        bands = torch.cat([model.front.bands(sound)[0] for sound in sounds], 1)
    model.mean.copy_(bands.mean(1, keepdim=True))
    model.std.copy_(bands.std(1, keepdim=True))


def _error(module: Any, judged: Sequence[tuple[NDArray[np.float32], str]]) -> float:  # noqa: ANN401  (a Recogniser)
    """Share of wrong words."""
    wrong = total = 0
    for rows in alike((len(sound) for sound, _ in judged), 64):
        chosen = [judged[row] for row in rows]
        samples, lengths = pad([sound for sound, _ in chosen])
        frames = (torch.from_numpy(lengths) + (STRIDE - 1)) // STRIDE
        log_probs = module.encode(module.features(torch.from_numpy(samples)), frames)
        for found, (_, wanted) in zip(ctc.greedy(log_probs.numpy(), frames.numpy()), chosen, strict=True):
            wrong += edit_distance(classes(wanted), found.tokens.tolist())
            total += len(wanted.split())
    return wrong / total
