"""Teaching an encoder-decoder pairs of sequences: their batches, and the loss of a target that is given to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..ragged import pad
from ..training.batches import buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from .model import EncoderDecoder

#: Where a target has no token: what `cross_entropy` leaves out.
_NONE = -100


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Sources with their targets, as tokens.

    Attributes:
        sources: int64 ``(source,)`` each, at least one token.
        targets: int64 ``(target,)`` each, the ending token last.
    """

    sources: tuple[NDArray[np.int64], ...]
    targets: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        """Refuse what are no pairs.

        Raises:
            InputError: there are more of one than of the other, none, or one without a token.
        """
        if len(self.sources) != len(self.targets) or not self.sources:
            raise InputError(
                f"there are {len(self.sources)} sources for {len(self.targets)} targets; as many of both are needed."
            )
        if not all(map(len, self.sources)) or not all(map(len, self.targets)):
            raise InputError("a source or a target has no token; at least one each is needed.")


#: Source, its lengths, and the target with :data:`_NONE` past its end; int64 tensors.
Batch = tuple[Tensor, Tensor, Tensor]


def batches(pairs: Pairs, batch_size: int) -> Callable[[np.random.Generator], Iterator[Batch]]:
    """For :func:`rnnx.models.training.fit`: each pair once, pairs of like lengths together, in random order.

    Args:
        pairs: what to teach.
        batch_size: the most pairs of a batch.
    """
    # The decoder's steps cost the most, so the target's length goes first.
    longest = max(map(len, pairs.sources)) + 1
    sizes = [len(target) * longest + len(source) for source, target in zip(pairs.sources, pairs.targets, strict=True)]

    def epoch(generator: np.random.Generator) -> Iterator[Batch]:
        for rows in buckets(sizes, batch_size, generator):
            source, lengths = pad([pairs.sources[row] for row in rows])
            target, _ = pad([pairs.targets[row] for row in rows], _NONE)
            yield torch.from_numpy(source), torch.from_numpy(lengths), torch.from_numpy(target)

    return epoch


def loss(label_smoothing: float = 0.0) -> Callable[[EncoderDecoder, Batch, Any], tuple[Tensor, None]]:
    """For :func:`rnnx.models.training.fit`: cross-entropy of each token of the target, given those before it.

    Args:
        label_smoothing: share of a target that is spread over the whole vocabulary (Szegedy et al., "Rethinking the
            inception architecture for computer vision", 2016).
    """
    objective = nn.CrossEntropyLoss(ignore_index=_NONE, label_smoothing=label_smoothing)

    def measure(model: EncoderDecoder, batch: Batch, _state: object) -> tuple[Tensor, None]:
        source, lengths, target = batch
        # What stands past a target's end is fed too, and its answer is not looked at.
        logits = model(source, lengths, target.clamp(min=0))
        value: Tensor = objective(logits.flatten(0, 1), target.flatten())
        return value, None

    return measure
