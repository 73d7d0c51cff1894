"""What address tagging shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...runtime.tasks import load_task
from ..zoo.gallery.exhibit import Exhibit, Text
from .data import load_held_out

if TYPE_CHECKING:
    from pathlib import Path

#: Addresses of our own, one of them written as they come in letters: without a comma.
_ADDRESSES = (
    "123 E. Main St. Apt 4B, Springfield, IL 62704",
    "The Old Mill 17 Riverside Drive North Suite 200 Boise Idaho 83702",
    "PO Box 12 Portland OR",
)
#: Every so manieth held-out address is shown, and of those that are not right all through so many.
_EVERY, _WRONG = 60, 2


def exhibit(bundle: Path) -> Exhibit:
    """Addresses of our own and held-out ones with the label of each part, and some that went wrong."""
    held_out = load_held_out()
    with load_task(bundle) as task:
        pieces = [Text(given=address, answer=str(task(address)), about="our own") for address in _ADDRESSES]
        found: list[Any] = task.batch([" ".join(one.words) for one in held_out])
    wrong = [row for row, (one, told) in enumerate(zip(held_out, found, strict=True)) if told.labels != one.labels]
    for row in sorted({*range(0, len(held_out), _EVERY), *wrong[:_WRONG]}):
        address, told = held_out[row], found[row]
        corrections = [
            f"{word} is {label}"
            for word, label, said in zip(address.words, address.labels, told.labels, strict=True)
            if label != said
        ]
        about = f"held out; {'but ' + ', '.join(corrections) if corrections else 'all right'}"
        pieces.append(Text(given=" ".join(address.words), answer=str(told), about=about))
    return Exhibit(
        about="What each word of an address of the United States is, by a bidirectional LSTM that reads the words' "
        f"letters. Of {len(held_out)} held-out addresses {len(held_out) - len(wrong)} are right all through.",
        pieces=tuple(pieces),
    )
