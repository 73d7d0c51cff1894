"""The batches of an epoch: in random order, those of like length together, or one long sequence for truncated BPTT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def shuffled(count: int, batch_size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Each of ``count`` examples once, in random order.

    Args:
        count: examples.
        batch_size: the most examples of a batch; batches are as equal as can be, so that none is tiny.
        generator: of the order.

    Returns:
        int64 arrays of indices.
    """
    return np.array_split(generator.permutation(count), _parts(count, batch_size))


def buckets(
    lengths: Sequence[int] | NDArray[np.integer], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Each example once, in batches of like length, which waste little on filling up; the batches in random order.

    Args:
        lengths: one for each example.
        batch_size: the most examples of a batch; batches are as equal as can be.
        generator: of the order, and of which examples of one length come together.

    Returns:
        int64 arrays of indices.
    """
    order = generator.permutation(len(lengths))
    order = order[np.argsort(np.asarray(lengths)[order], kind="stable")]  # stable: equal lengths stay in random order
    parts = np.array_split(order, _parts(len(order), batch_size))
    return [parts[index] for index in generator.permutation(len(parts))]


def _parts(count: int, batch_size: int) -> int:
    if count < 1 or batch_size < 1:
        raise InputError(f"{count} examples in batches of {batch_size}: at least one of each is needed.")
    return -(-count // batch_size)


def consecutive(
    tokens: NDArray[np.integer], batch_size: int, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One long sequence for truncated back-propagation through time: a batch's rows go on where the last one's ended.

    The sequence is cut into ``batch_size`` pieces, one a row, which are read side by side.

    Args:
        tokens: int ``(tokens,)``.
        batch_size: rows.
        steps: of a batch; the last one may be shorter. Tokens at the end that do not fill a row's step are left out.

    Yields:
        Inputs and targets (the tokens after them), int64 tensors ``(batch, steps)``.

    Raises:
        InputError: there are too few tokens for one step of each row.
    """
    tokens = np.asarray(tokens)
    length = (len(tokens) - 1) // batch_size
    if length < 1:
        raise InputError(
            f"{len(tokens)} tokens are too few for {batch_size} rows; at least {batch_size + 1} are needed."
        )
    used = torch.from_numpy(tokens[: length * batch_size + 1].astype(np.int64))
    inputs, targets = used[:-1].reshape(batch_size, length), used[1:].reshape(batch_size, length)
    for start in range(0, length, steps):
        yield inputs[:, start : start + steps], targets[:, start : start + steps]
