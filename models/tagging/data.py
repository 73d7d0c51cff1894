"""Labelled addresses: which are learned from, which choose, and which judge."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...atomic import write_atomically
from ...runtime.tasks.tokenizers import WordEncoder
from ..datasets.usaddress import Address, load_addresses
from .face import LABELS, MOST_LETTERS, PAD, TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

HELD_OUT = Path(__file__).with_name("held_out.npz")

Part = Literal["training", "validation", "held out"]

_SPELLER = WordEncoder(TOKENIZER)


def key(address: Address) -> str:
    """What makes two addresses one: their letters and digits, in lower case."""
    return " ".join(re.findall(r"[a-z0-9]+", " ".join(address.words).lower()))


def part_of(address: Address) -> Part:
    """Where an address belongs: by the hash of its :func:`key`, so that none is on two sides."""
    place = int(hashlib.sha256(key(address).encode()).hexdigest(), 16) % 1000
    return "held out" if place < 200 else "validation" if place < 280 else "training"


def parts(addresses: Iterable[Address]) -> dict[Part, list[Address]]:
    """The three parts; of addresses that are one, the first alone is taken."""
    found: dict[Part, list[Address]] = {"training": [], "validation": [], "held out": []}
    seen: set[str] = set()
    for one in addresses:
        if key(one) not in seen:
            seen.add(key(one))
            found[part_of(one)].append(one)
    return found


def spell(addresses: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words as the model takes them.

    Args:
        addresses: the words of each.

    Returns:
        int64 ``(batch, time, characters)`` and lengths, int64 ``(batch,)``.
    """
    spelled = [_SPELLER.letters(" ".join(words)) for words in addresses]
    width = min(max(2, *(len(word) for words in spelled for word in words)), MOST_LETTERS)
    letters = np.full((len(spelled), max(map(len, spelled)), width), PAD, np.int64)
    for row, words in zip(letters, spelled, strict=True):
        for place, word in zip(row, words, strict=False):
            place[: len(word)] = word
    return letters, np.array([len(words) for words in spelled], np.int64)


def write_held_out(folder: Path | None, path: Path = HELD_OUT) -> None:
    """Make the committed file again; the same package gives the same bytes where zlib compresses alike.

    Args:
        folder: holds the unpacked package; None where it is installed.
        path: the file to write.

    Raises:
        MissingDataError: the package is not there.
    """
    found = parts(load_addresses(folder))["held out"]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        text=np.frombuffer("\n".join(" ".join(one.words) for one in found).encode(), dtype=np.uint8),
        labels=np.array([LABELS.index(label) for one in found for label in one.labels], dtype=np.uint8),
    )
    write_atomically(path, content.getvalue())


def load_held_out(path: Path = HELD_OUT) -> tuple[Address, ...]:
    """Read the committed addresses.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    with np.load(path, allow_pickle=False) as archive:
        lines = archive["text"].tobytes().decode().split("\n")
        labels = iter(archive["labels"].tolist())
    found = [tuple(line.split(" ")) for line in lines]
    return tuple(Address(words=words, labels=tuple(LABELS[next(labels)] for _ in words)) for words in found)
