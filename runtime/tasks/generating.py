"""A language model's text, symbol by symbol, through a bundle's streaming variant.

What is drawn depends on the model's answers, the seed and the number of symbols before it alone: the random numbers
are Threefry's (:mod:`rnnx.runtime.threefry`), so a seed gives the same text again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError, SessionError
from ..threefry import uniform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..session import Session
    from .write_kinds import GenerateWrite


def generate(
    session: Session,
    write: GenerateWrite,
    name: str,
    prompt: NDArray[np.int64],
    *,
    length: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> Iterator[int]:
    """Ids that go on from a prompt, until ``length`` of them or the end symbol, which is not given.

    Args:
        session: of the streaming variant.
        write: which output, the end, and what is never drawn.
        name: of the input.
        prompt: int64 ``(time,)``, at least one.
        length: how many at most.
        temperature: what logits are divided by; 0 takes the most probable.
        top_k: only so many most probable ones are drawn from; None draws from all.
        seed: of the draws.

    Raises:
        InputError: an argument is out of its range.
        SessionError: the model gave no finite number.
    """
    _check(length=length, temperature=temperature, top_k=top_k, seed=seed)
    draws = _Draws(length=length, temperature=temperature, top_k=top_k, seed=seed)
    return _generate(session, write, name, prompt, draws)  # a generator would check when it is first asked


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draws:
    """How many symbols are drawn, and how; as :func:`generate` takes them."""

    length: int
    temperature: float
    top_k: int | None
    seed: int


def _generate(
    session: Session, write: GenerateWrite, name: str, prompt: NDArray[np.int64], draws: _Draws
) -> Iterator[int]:
    state = session.initial_state(1)
    ids = prompt.astype(session.signature.input(name).dtype)[None]
    for count in range(draws.length):
        outputs, state = session.step({name: ids}, state)
        logits = outputs[write.output][0, -1].astype(np.float64)
        chosen = draw(
            logits, write.forbidden, temperature=draws.temperature, top_k=draws.top_k, seed=draws.seed, count=count
        )
        if chosen == write.end:
            return
        yield chosen
        ids = np.array([[chosen]], ids.dtype)


def draw(
    logits: NDArray[np.float64],
    forbidden: tuple[int, ...],
    *,
    temperature: float,
    top_k: int | None,
    seed: int,
    count: int,
) -> int:
    """One id by its logits, float64 ``(symbols,)``: by inversion of the distribution function at a random number.

    Raises:
        SessionError: a logit is NaN or plus infinity, or none is left to draw from.
    """
    scores = logits.copy()
    scores[list(forbidden)] = -np.inf
    best = float(scores.max())
    if not np.isfinite(best):
        raise SessionError("the model gave no finite number for any symbol that may be drawn.")
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None and top_k < scores.size:
        # Of equal ones the first stay, whatever the order of sorting.
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    shares = np.exp((scores - best) / temperature)
    edges = np.cumsum(shares)
    point = float(uniform(np.array([seed], np.int64), np.array([count], np.int64))[0]) * edges[-1]
    found = int(np.searchsorted(edges, point, side="right"))
    # Rounding may lead behind the last that may be drawn.
    return min(found, int(np.flatnonzero(shares)[-1]))


def _check(*, length: object, temperature: object, top_k: object, seed: object) -> None:
    wholes = {"length": (length, 1), "top_k": (1 if top_k is None else top_k, 1), "seed": (seed, 0)}
    for name, (value, least) in wholes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value < 2**63:
            raise InputError(f"{name} is {value!r}; it must be a whole number from {least}.")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature < np.inf:
        raise InputError(f"temperature is {temperature!r}; it must be a finite number from 0.")
