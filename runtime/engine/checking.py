"""What an engine may be given, and what it says of its variant."""

from __future__ import annotations

from ...errors import InputError

#: Nobody's request waits longer, in seconds; it keeps times within what the clock's whole numbers and waiting can hold.
LONGEST_S = 1e6


def check_counts(**counts: int) -> None:
    """Refuse settings, by name, that are no whole numbers from 1 (InputError)."""
    for name, number in counts.items():
        if type(number) is not int or number < 1:
            raise InputError(f"{name} is {number!r}; it must be a whole number from 1.")


def check_batching(*, max_delay_ms: float, padding: float) -> None:
    """Refuse a time (milliseconds) or a measure of padding that is out of its range (InputError)."""
    if not 0 <= max_delay_ms <= LONGEST_S:
        raise InputError(f"max_delay_ms is {max_delay_ms!r}; it must be a number of milliseconds from 0.")
    if not padding >= 1:
        raise InputError(f"padding is {padding!r}; it must be a number from 1, where only equal sizes meet.")


def notes_of(alone: str, unpadded: str) -> tuple[str, ...]:
    """What is not batched, for people.

    Args:
        alone: why requests run one by one; empty where they do not.
        unpadded: why requests of different sizes do not meet; empty where they do.
    """
    if alone:
        return (f"requests run one by one: {alone}",)
    return (f"requests of different sizes do not share a run: {unpadded}",) if unpadded else ()
