"""Chance that is the recipe's own: what torch draws inside leaves the caller's random numbers as they were."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Within the block torch's random numbers follow from ``seed``; after it they are what they were before.

    Fresh weights belong in it, so that they are the recipe's: ``with seeded(recipe.seed): module = build()``.

    Args:
        seed: of the processor's generator and, where ``device`` is one, the CUDA device's.
        device: where the work is done; None is the processor.
    """
    with forked(device):
        torch.manual_seed(seed)
        yield


@contextmanager
def forked(device: torch.device | None = None) -> Iterator[None]:
    """After the block torch's random numbers are what they were before it."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
