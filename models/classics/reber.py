"""Two grammars: Reber's by Elman's network, and the embedded one by the LSTM, where Elman's network fails."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..ragged import pad
from ..training import Recipe, fit, seeded
from ..zoo.system import Face, Score
from . import plain
from .grammar import SYMBOLS, encode, held_out, right, strings
from .networks import Symbolwise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner, Training

FACE = Face(inputs=(f"tokens: int64[batch, time] < {len(SYMBOLS)}",), outputs=("logits",), streaming="on")

RECIPE = Recipe(steps=2000, batch_size=32, learning_rate=1e-2, weight_decay=0.0, validate_every=200)
EMBEDDED_RECIPE = replace(RECIPE, steps=3000)

_HELD_OUT = 500
_VALIDATION = 200
_EPOCH = 100  # batches
_IGNORED = -100  # a target that counts for nothing


def build() -> Symbolwise:
    """Elman's network with fresh weights, for Reber's grammar."""
    return Symbolwise("elman", symbols=len(SYMBOLS), hidden_size=15)


def build_embedded() -> Symbolwise:
    """The LSTM with fresh weights, for the embedded grammar."""
    return Symbolwise("lstm", symbols=len(SYMBOLS), hidden_size=15)


def train(training: Training) -> nn.Module:
    """Train Elman's network on Reber's grammar; strings are drawn, so ``training.data`` is not needed."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()
    return learn(module, recipe, training, embedded=False)


def train_embedded(training: Training) -> nn.Module:
    """Train the LSTM on the embedded grammar; strings are drawn, so ``training.data`` is not needed."""
    recipe = EMBEDDED_RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build_embedded()
    return learn(module, recipe, training, embedded=True)


def learn(module: nn.Module, recipe: Recipe, training: Training, *, embedded: bool) -> nn.Module:
    """Train any network that tells the next symbol."""
    # A seed of its own, and of the strings that may be learned from: the held-out ones choose nothing.
    drawn = strings(np.random.default_rng(1), embedded=embedded, held_out=False)
    chosen = _batch(islice(drawn, _VALIDATION))

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        source = strings(generator, embedded=embedded, held_out=False)
        for _ in range(_EPOCH):
            yield _batch(islice(source, recipe.batch_size))

    def validate(model: nn.Module) -> float:
        device = next(model.parameters()).device
        return float(_loss(model, tuple(part.to(device) for part in chosen), None)[0])

    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=validate,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    return fitted.module


def _batch(given: Iterable[str]) -> tuple[torch.Tensor, ...]:
    rows = [encode(string) for string in given]
    inputs, _ = pad([row[:-1] for row in rows])
    targets, _ = pad([row[1:] for row in rows], value=_IGNORED)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def _loss(module: nn.Module, batch: tuple[torch.Tensor, ...], _state: Any) -> tuple[torch.Tensor, None]:  # noqa: ANN401
    logits = module(batch[0])
    return cross_entropy(logits.flatten(0, 1), batch[1].flatten(), ignore_index=_IGNORED), None


def examples(*, embedded: bool) -> tuple[str, ...]:
    """The strings to score."""
    return held_out(_HELD_OUT, embedded=embedded)


def evaluate(runner: Runner, strings: Sequence[str]) -> Score:
    """The share of strings at whose every step each symbol that may come scores above each that may not."""
    steps = right(_scores(runner, strings), strings, embedded=False)
    details = {"steps": _steps(steps), "steps, from the last symbol alone": _steps(_last_symbol(strings))}
    return Score(value=_whole(steps), count=len(strings), details=details)


def evaluate_embedded(runner: Runner, strings: Sequence[str]) -> Score:
    """The same for the embedded grammar, beside Elman's network."""
    elman = plain.load("embedded_elman")
    units = np.eye(len(SYMBOLS), dtype=np.float32)
    tokens, _ = pad([encode(string)[:-1] for string in strings])
    steps = right(_scores(runner, strings), strings, embedded=True)
    baseline = right(list(elman.run(units[tokens])), strings, embedded=True)
    details = {
        "last symbol but one": _last_but_one(steps),
        "Elman's network": _whole(baseline),
        "Elman's network, last symbol but one": _last_but_one(baseline),
        "Elman's network, all other steps": _steps([np.delete(row, -2) for row in baseline]),
    }
    return Score(value=_whole(steps), count=len(strings), details=details)


def _scores(runner: Runner, strings: Sequence[str]) -> list[NDArray[Any]]:
    tokens, _ = pad([encode(string)[:-1] for string in strings])
    # Causal: what stands behind a string's end changes nothing before it, so that no lengths are needed.
    return list(runner.run({"tokens": tokens})["logits"])


def _last_symbol(strings_: Sequence[str]) -> list[NDArray[np.bool_]]:
    """What can be told from the last symbol alone: how often each symbol came after it in strings to learn from."""
    counts = np.zeros((len(SYMBOLS), len(SYMBOLS)))
    for string in islice(strings(np.random.default_rng(2), embedded=False, held_out=False), 2000):
        ids = encode(string)
        np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return right([counts[encode(string)[:-1]] for string in strings_], strings_, embedded=False)


def _whole(steps: Sequence[NDArray[np.bool_]]) -> float:
    return float(np.mean([row.all() for row in steps]))


def _steps(steps: Sequence[NDArray[np.bool_]]) -> float:
    return float(np.mean(np.concatenate(steps)))


def _last_but_one(steps: Sequence[NDArray[np.bool_]]) -> float:
    # Predictions of the last symbol but one stand last but one: the last is that of E.
    return float(np.mean([row[-2] for row in steps]))
