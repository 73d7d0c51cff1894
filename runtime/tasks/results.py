"""What a task answers: values, with ``str()`` for people and :meth:`to_json` for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .wav import write_wav

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: How many of the most looked-at tokens, and of the steps above a threshold, people are shown.
_SHOWN = 5


class Result(Protocol):
    """Any of the answers below."""

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsResult:
    """A label for the whole.

    Attributes:
        ranked: every label and its probability, the most probable first.
        top: how many are shown to people.
        tokens: what was read, where the model tells what it looked at.
        attention: the weight of each token; empty where the model does not tell.
    """

    ranked: tuple[tuple[str, float], ...]
    top: int
    tokens: tuple[str, ...] = ()
    attention: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The most probable label."""
        return self.ranked[0][0]

    def __str__(self) -> str:
        """The most probable labels, one a line, and what was looked at."""
        shown = self.ranked[: self.top]
        width = max(len(label) for label, _ in shown)
        lines = [f"{label:<{width}}  {100 * share:5.1f}%" for label, share in shown]
        pairs = [(one, weight) for one, weight in zip(self.tokens, self.attention, strict=False) if one]
        if pairs:
            pairs.sort(key=lambda one: -one[1])
            lines.append("looked at: " + ", ".join(f"{one} {weight:.2f}" for one, weight in pairs[:_SHOWN]))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Label and probabilities; tokens and attention where they are told."""
        told = {"tokens": list(self.tokens), "attention": list(self.attention)} if self.attention else {}
        return {"label": self.label, "probabilities": dict(self.ranked), **told}


@dataclass(frozen=True, kw_only=True, slots=True)
class TagsResult:
    """A label for each step.

    Attributes:
        labels: of each step.
        probabilities: of each of these labels; empty where the model chose them itself.
        tokens: the text of each step; empty where no text was read.
        join: whether neighbours of one label are shown as one piece.
        first: how many steps came before, in the chunks before this one.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    join: bool = False
    first: int = 0

    @property
    def pieces(self) -> tuple[tuple[str, int, int], ...]:
        """Label, first step and the step behind the last of each run of one label; of each step without ``join``."""
        found: list[tuple[str, int, int]] = []
        for number, label in enumerate(self.labels):
            if found and found[-1][0] == label and (self.join or not self.tokens):
                found[-1] = (label, found[-1][1], number + 1)
            else:
                found.append((label, number, number + 1))
        return tuple(found)

    def __str__(self) -> str:
        """A line for each piece: its tokens, or its steps from 1, and its label."""
        texts = [
            " ".join(self.tokens[first:last])
            if self.tokens
            else f"{self.first + first + 1}" + f"-{self.first + last}" * (last - first > 1)
            for _, first, last in self.pieces
        ]  # fmt: skip
        width = max(map(len, texts), default=0)
        return "\n".join(f"{text:<{width}}  {label}" for text, (label, _, _) in zip(texts, self.pieces, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Labels of the steps, their probabilities and tokens where there are some, and the pieces."""
        told: dict[str, Any] = {"labels": list(self.labels)}
        if self.probabilities:
            told["probabilities"] = list(self.probabilities)
        if self.tokens:
            told["tokens"] = list(self.tokens)
        before = {"before": self.first} if self.first else {}
        pieces = [{"label": one, "first": first, "end": end} for one, first, end in self.pieces]
        return {**before, **told, "pieces": pieces}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextResult:
    """A text that was decoded.

    Attributes:
        text: it.
        ids: of its symbols.
        score: what the model ranks it by, or None where it does not tell.
        alternatives: other texts and their scores, the best first.
        top: how many texts are shown to people.
        ended: whether the model came to an end by itself, and was not cut off at its greatest length.
    """

    text: str
    ids: tuple[int, ...]
    score: float | None = None
    alternatives: tuple[tuple[str, float | None], ...] = ()
    top: int = 1
    ended: bool = True

    def __str__(self) -> str:
        """The text; or several, each with its score."""
        if self.top == 1:
            return self.text
        shown = ((self.text, self.score), *self.alternatives)[: self.top]
        return "\n".join(text if score is None else f"{text}  ({score:.3f})" for text, score in shown)

    def to_json(self) -> dict[str, Any]:
        """The text; score and alternatives where they are told, and that it was cut off where it was."""
        told: dict[str, Any] = {"text": self.text}
        if not self.ended:
            told["ended"] = False
        if self.score is not None:
            told["score"] = self.score
        if self.alternatives:
            told["alternatives"] = [{"text": text, "score": score} for text, score in self.alternatives]
        return told


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ForecastResult:
    """Numbers that were told.

    Attributes:
        name: what they are.
        unit: theirs, or empty.
        quantiles: shares of 1, one for each column; empty where there is one value a step.
        values: float64 ``(steps, quantiles)``, or ``(steps, 1)``.
        times: of the steps, where they are known.
    """

    name: str
    unit: str
    quantiles: tuple[float, ...]
    values: NDArray[np.float64]
    times: tuple[float, ...] = ()

    def __str__(self) -> str:
        """One value, or a line for each step."""
        unit = f" {self.unit}" if self.unit else ""
        if self.values.shape == (1, 1):
            return f"{self.name}: {self.values[0, 0]:.6g}{unit}"
        heads = [f"{100 * one:g}%" for one in self.quantiles] or [self.name]
        steps = [f"{one:g}" for one in self.times] or [str(one) for one in range(1, len(self.values) + 1)]
        cells = [[f"{one:.6g}" for one in row] for row in self.values]
        widths = [max(len(head), *(len(row[at]) for row in cells)) for at, head in enumerate(heads)]
        first = max(4, *map(len, steps))
        title = [f"{self.name}{f' in {self.unit}' if self.unit else ''}"] if self.quantiles or unit else []
        head = "  ".join([f"{'step':>{first}}", *(f"{one:>{w}}" for one, w in zip(heads, widths, strict=True))])
        rows = [
            "  ".join([f"{step:>{first}}", *(f"{one:>{w}}" for one, w in zip(row, widths, strict=True))])
            for step, row in zip(steps, cells, strict=True)
        ]
        return "\n".join([*title, head, *rows])

    def to_json(self) -> dict[str, Any]:
        """Name, unit, quantiles, and the values by step."""
        told: dict[str, Any] = {"name": self.name, "unit": self.unit}
        if self.times:
            told["times"] = list(self.times)
        if self.quantiles:
            return {**told, "quantiles": list(self.quantiles), "values": self.values.tolist()}
        return {**told, "values": self.values[:, 0].tolist()}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoresResult:
    """A score for each step, and where it is above the threshold.

    Attributes:
        name: what is looked for.
        threshold: what is above is found.
        scores: float64 ``(steps,)``.
        whole: whether the one score is of the whole input.
        first: how many steps came before, in the chunks before this one.
    """

    name: str
    threshold: float
    scores: NDArray[np.float64]
    whole: bool = False
    first: int = 0

    @property
    def spans(self) -> tuple[tuple[int, int, float], ...]:
        """First step, the step behind the last, and the highest score of each run above the threshold."""
        above = np.concatenate(([False], self.scores > self.threshold, [False]))
        edges = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
        return tuple((int(first), int(end), float(self.scores[first:end].max())) for first, end in edges)

    def __str__(self) -> str:
        """What was found, steps counted from 1."""
        if self.scores.size == 1:
            side = "above" if self.spans else "not above"
            place = "" if self.whole else f" at {self.first + 1}"
            return f"{self.name}{place}: {self.scores[0]:.4g}, {side} {self.threshold:g}"
        if not self.spans:
            highest = f", the highest score is {self.scores.max():.4g}" if self.scores.size else ""
            return f"no {self.name}: none of {self.scores.size} steps is above {self.threshold:g}{highest}"
        lines = [
            f"{self.name} at {self.first + first + 1}{f'-{self.first + end}' if end - first > 1 else ''}, "
            f"highest score {highest:.4g}"
            for first, end, highest in self.spans
        ]
        steps = sum(end - first for first, end, _ in self.spans)
        return "\n".join([*lines, f"{steps} of {self.scores.size} steps are above {self.threshold:g}"])

    def to_json(self) -> dict[str, Any]:
        """Threshold, scores, and the spans above it."""
        found = [{"first": first, "end": end, "highest": highest} for first, end, highest in self.spans]
        before = {"before": self.first} if self.first else {}
        return {
            "name": self.name,
            "threshold": self.threshold,
            **before,
            "scores": self.scores.tolist(),
            "found": found,
        }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AudioResult:
    """Sound.

    Attributes:
        samples: float32 ``(samples,)``, from -1 to 1.
        sample_rate: in hertz.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.sample_rate

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a WAV file of 16 bits, whole or not at all.

        Raises:
            InputError: a sample is no finite number.
            OSError: the file cannot be written.
        """
        write_wav(Path(path), self.samples, self.sample_rate)

    def __str__(self) -> str:
        """How long it is."""
        return f"{self.seconds:.2f} s of sound at {self.sample_rate} Hz"

    def to_json(self) -> dict[str, Any]:
        """Length and rate; the samples go to a file."""
        return {"seconds": self.seconds, "sample_rate": self.sample_rate, "samples": len(self.samples)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitResult:
    """The answers to the words of a text, one by one.

    Attributes:
        words: of the text.
        results: the answer to each.
    """

    words: tuple[str, ...]
    results: Sequence[Result]

    def __str__(self) -> str:
        """A line for each word."""
        width = max(map(len, self.words))
        return "\n".join(f"{word:<{width}}  {one}" for word, one in zip(self.words, self.results, strict=True))

    def to_json(self) -> dict[str, Any]:
        """A list of words and answers."""
        pairs = zip(self.words, self.results, strict=True)
        return {"words": [{"word": word, **one.to_json()} for word, one in pairs]}
