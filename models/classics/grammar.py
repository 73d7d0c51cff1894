"""Reber's grammar, and the embedded one.

Reber (1967), "Implicit learning of artificial grammars", Journal of Verbal Learning and Verbal Behavior 6(6), in the
form of Cleeremans, Servan-Schreiber and McClelland (1989), "Finite state automata and simple recurrent networks",
Neural Computation 1(3). The embedded grammar is that of Hochreiter and Schmidhuber (1997), "Long short-term memory",
Neural Computation 9(8), experiment 1: a whole string of the grammar between two like symbols,

    B T (a string of Reber's) T E    or    B P (a string of Reber's) P E

so that the last symbol but one is known from the second one alone.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SYMBOLS = "BTSXPVE"

#: From a state of the automaton: the symbols that may come, and the state that each leads to. An end has none.
_REBER: dict[int, dict[str, int]] = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
    7: {},
}


def _embed() -> dict[int, dict[str, int]]:
    grammar: dict[int, dict[str, int]] = {0: {"B": 1}, 1: {"T": 10, "P": 20}}
    for base, symbol in ((10, "T"), (20, "P")):
        for state, ways in _REBER.items():
            grammar[base + state] = {one: base + to for one, to in ways.items()} or {symbol: 2}
    return {**grammar, 2: {"E": 3}, 3: {}}


_EMBEDDED = _embed()

#: One string of so many is held out, told by a hash of it, so that no string is on both sides.
_SHARE = 5


def draw(generator: np.random.Generator, *, embedded: bool) -> str:
    """A string of the grammar; where two symbols may come, each comes as often."""
    grammar, state, found = _EMBEDDED if embedded else _REBER, 0, []
    while grammar[state]:
        ways = list(grammar[state].items())
        symbol, state = ways[generator.integers(len(ways))]
        found.append(symbol)
    return "".join(found)


def strings(generator: np.random.Generator, *, embedded: bool, held_out: bool) -> Iterator[str]:
    """Strings without end, of those that are held out or of the others."""
    while True:
        found = draw(generator, embedded=embedded)
        if (zlib.crc32(found.encode()) % _SHARE == 0) == held_out:
            yield found


def successors(string: str, *, embedded: bool) -> NDArray[np.bool_]:
    """Which symbols may come after each symbol of a string but its last: bool ``(len(string) - 1, 7)``.

    Raises:
        KeyError: the string is not of the grammar.
    """
    grammar, state, rows = _EMBEDDED if embedded else _REBER, 0, []
    for symbol in string[:-1]:
        state = grammar[state][symbol]
        rows.append([one in grammar[state] for one in SYMBOLS])
    if string[-1] not in grammar[state]:
        raise KeyError(string[-1])
    return np.array(rows)


def encode(string: str) -> NDArray[np.int64]:
    """The ids of a string: int64 ``(len(string),)``."""
    return np.array([SYMBOLS.index(symbol) for symbol in string], dtype=np.int64)


@cache
def held_out(count: int, *, embedded: bool) -> tuple[str, ...]:
    """The first ``count`` different strings of those that are held out."""
    found: dict[str, None] = {}
    drawn = strings(np.random.default_rng(0), embedded=embedded, held_out=True)
    while len(found) < count:
        found[next(drawn)] = None
    return tuple(found)


def right(
    scores: Sequence[NDArray[np.floating]], examples: Sequence[str], *, embedded: bool
) -> list[NDArray[np.bool_]]:
    """At which steps each symbol that may come scores above each that may not.

    Args:
        scores: of each symbol, ``(len(string) - 1 or more, 7)`` for each string.
        examples: the strings.
        embedded: the grammar.

    Returns:
        bool ``(len(string) - 1,)`` for each string.
    """
    answers = []
    for given, string in zip(scores, examples, strict=True):
        may = successors(string, embedded=embedded)
        known = given[: len(may)]
        lowest = np.where(may, known, np.inf).min(axis=1)
        highest = np.where(may, -np.inf, known).max(axis=1)
        answers.append(lowest > highest)
    return answers
