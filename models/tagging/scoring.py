"""How many words of held-out addresses get their label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ragged import alike
from ..zoo.system import Score
from .data import spell
from .face import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..datasets.usaddress import Address
    from ..zoo.system import Runner

_BATCH = 64


def score(runner: Runner, examples: Sequence[Address]) -> Score:
    """The share of words with the right label.

    The details are the share of addresses whose words are all right, the share of words over those labels that the
    most frequent makes up (``always the most frequent``), and the mean over labels of their F1 (``macro F1``), of
    labels that stand in the examples.
    """
    right, whole = 0, 0
    truth: list[str] = []
    told: list[str] = []
    for labels, one in zip(tag(runner, [one.words for one in examples]), examples, strict=True):
        same = [a == b for a, b in zip(labels, one.labels, strict=True)]
        right, whole = right + sum(same), whole + all(same)
        truth += one.labels
        told += labels
    there = sorted(set(truth))
    details = {
        "whole addresses": whole / len(examples),
        "macro F1": float(np.mean([_f1(one, truth, told) for one in there])),
        "always the most frequent": max(truth.count(one) for one in there) / len(truth),
    }
    return Score(value=right / len(truth), count=len(truth), details=details)


def tag(runner: Runner, addresses: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The label of each word of each address."""
    found: dict[int, tuple[str, ...]] = {}
    for rows in alike(map(len, addresses), _BATCH):
        letters, lengths = spell([addresses[row] for row in rows])
        best = runner.run({"letters": letters, "lengths": lengths})["logits"].argmax(axis=2)
        for line, size, row in zip(best, lengths, rows, strict=True):
            found[row] = tuple(LABELS[one] for one in line[:size])
    return [found[row] for row in range(len(addresses))]


def _f1(label: str, truth: Sequence[str], told: Sequence[str]) -> float:
    both = sum(a == b == label for a, b in zip(truth, told, strict=True))
    return 2 * both / (truth.count(label) + told.count(label))
