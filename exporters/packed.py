"""Packed sequences while a model is being captured: a padded tensor with its lengths.

A real ``PackedSequence`` has as many rows as there are frames in the batch, a number that depends on the values of
``lengths`` and that a graph with named axes cannot express. During capture ``pack_padded_sequence`` therefore returns
a ``PackedSequence`` whose ``data`` is the padded tensor ``(time, batch, features)`` and whose ``batch_sizes`` holds
the lengths, int64 ``(batch,)``, in the caller's own order. Elementwise and feature-wise work on ``data`` means the
same in both forms, and the recurrent operators take the lengths as they are, so nothing is ever sorted.

``pad_packed_sequence`` without ``total_length`` gives torch's callers ``max(lengths)`` steps; here it gives the
input's own number of steps, with padding in the rest. Both are equal whenever the longest row fills the array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import rnn as torch_rnn

from ..errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .observed import Observed


def pack_padded_sequence(
    observed: Observed,
    input: Tensor,  # noqa: A002  (torch's name)
    lengths: Any,  # noqa: ANN401
    batch_first: bool = False,  # noqa: FBT001, FBT002
    enforce_sorted: bool = True,  # noqa: FBT001, FBT002
) -> torch_rnn.PackedSequence:
    """What ``torch.nn.utils.rnn.pack_padded_sequence`` gives during capture."""
    if not isinstance(lengths, Tensor):
        raise CaptureError(
            "pack_padded_sequence was given lengths as Python numbers, which would be frozen into the graph. "
            "Pass the lengths tensor itself: pack_padded_sequence(x, lengths.cpu(), ...), without .tolist()."
        )
    observed.packs(sorted_lengths=enforce_sorted)
    x = input.transpose(0, 1) if batch_first else input
    return torch_rnn.PackedSequence(x, lengths.to(torch.int64))


def pad_packed_sequence(
    observed: Observed,
    sequence: torch_rnn.PackedSequence,
    batch_first: bool = False,  # noqa: FBT001, FBT002
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """What ``torch.nn.utils.rnn.pad_packed_sequence`` gives during capture."""
    x, lengths = sequence.data, sequence.batch_sizes
    if total_length is not None and total_length is not x.shape[0]:
        # A symbolic size that equals the input's adds nothing to the graph; another one is a guard torch reports.
        torch._check(total_length == x.shape[0])  # type: ignore[no-untyped-call]
    if not (padding_value == 0.0 and observed.is_zero_padded(x)):
        steps = torch.arange(x.shape[0], device=x.device)
        valid = steps.unsqueeze(1) < lengths.unsqueeze(0)
        for _ in range(x.dim() - 2):
            valid = valid.unsqueeze(-1)
        x = torch.where(valid, x, torch.full((), padding_value, dtype=x.dtype))
    if total_length is None:
        observed.trims_to_longest()
    return (x.transpose(0, 1) if batch_first else x), lengths


#: Who answers which function of ``torch.nn.utils.rnn`` during capture.
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch_rnn.pack_padded_sequence: pack_padded_sequence,
    torch_rnn.pad_packed_sequence: pad_packed_sequence,
}
