"""A system's weights: the committed checkpoint, and how a trained module becomes one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from ...errors import ZooError
from ...exporters.checkpoint import load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from .system import Score, System


def trained(system: System, checkpoint: Path | None = None) -> nn.Module:
    """The module with its committed weights, or with those of another checkpoint, in eval mode.

    Raises:
        ZooError: the system has no committed weights.
        CheckpointError: the checkpoint cannot be read, or is not this system's.
    """
    file = checkpoint or system.checkpoint
    if checkpoint is None and not file.is_file():
        raise ZooError(f"'{system.name}' has no committed weights at '{file}'. Train it: rnnx zoo train {system.name}")
    with torch.random.fork_rng(devices=[]):  # whoever loads weights keeps the random numbers that they had
        module = system.build()
    load_checkpoint(module, file)
    return module.eval()


def checkpoint_bytes(module: nn.Module, facts: dict[str, Any]) -> bytes:
    """The safetensors file of a module, with facts in its metadata; equal weights and facts give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    # One entry, not several: safetensors writes its metadata in another order in every process.
    return save(tensors, metadata={"rnnx": json.dumps(facts, sort_keys=True)})


def facts(system: System, score: Score, *, seed: int, steps: int | None) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    return {
        "system": system.name,
        "seed": seed,
        "steps": steps,
        "metric": system.metric.name,
        "held_out": asdict(score),
        "torch": torch.__version__,
    }
