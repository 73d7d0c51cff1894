"""``rnnx zoo train``: from data to a checkpoint, and its metric on held-out data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...atomic import write_atomically
from ...errors import RnnxError, ZooError
from .registry import system as find
from .running import TorchRunner
from .system import Training
from .weights import checkpoint_bytes, facts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from .system import Metric, Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What ``rnnx zoo train`` wrote.

    Attributes:
        file: the checkpoint.
        sha256: of it.
        metric: what :attr:`score` is.
        score: on the held-out examples, by PyTorch.
    """

    file: Path
    sha256: str
    metric: Metric
    score: Score


def train_system(
    name: str,
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: int | None = None,
    data: Path | None = None,
    folder: Path | None = None,
    overwrite: bool = False,
    report: Callable[[int, int, str], None] = lambda _step, _steps, _line: None,
) -> Trained:
    """Train a system of the zoo and score it.

    Args:
        name: in the registry.
        out: the checkpoint to write, ``NAME.safetensors``, whole or not at all.
        seed: of everything that is left to chance.
        steps: optimiser steps in place of the recipe's own.
        data: a folder that holds the unpacked source of the data, where it is not installed.
        folder: where the training keeps what it needs to go on after it was cut off; None keeps nothing.
        overwrite: replace a file at ``out``.
        report: called with the step, the number of steps, and a line of figures.

    Raises:
        ZooError: there is no such system, or ``out`` cannot be written.
        MissingDataError: the data is not installed and not in ``data``.
    """
    target = Path(out)
    system = find(name)
    if not target.resolve().parent.is_dir():
        raise ZooError(f"cannot write '{target}': the folder '{target.resolve().parent}' does not exist. Make it.")
    if target.exists() and not overwrite:
        raise ZooError(f"'{target}' exists already. Choose another name, or replace it with --force.")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        module = system.train(Training(seed=seed, steps=steps, data=data, folder=folder, report=report)).eval()
    except RnnxError:
        if folder is not None and not any(folder.iterdir()):  # it did not begin: the data is not there, say
            folder.rmdir()
        raise
    score = system.evaluate(TorchRunner(module, system.face), system.examples(data))
    content = checkpoint_bytes(module, facts(system, score, seed=seed, steps=steps))
    write_atomically(target, content)
    return Trained(file=target, sha256=hashlib.sha256(content).hexdigest(), metric=system.metric, score=score)
