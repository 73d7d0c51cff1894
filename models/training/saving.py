"""`training.pt`: all that a training needs to go on after it was cut off, bit for bit."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import torch

from ...atomic import write_atomically
from ...errors import CheckpointError
from .history import Record, from_tensor, to_tensor

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from .recipe import Recipe

FILE = "training.pt"
_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Where a training stands between two steps.

    Attributes:
        step: steps done.
        epoch: of the next batch, from 0.
        taken: batches of that epoch that were taken already.
        carried: the state that goes on to the next batch; a nest of tensors, or None.
        best: the best score so far.
        waited: validations since then.
        best_weights: the state dict of the best score.
        stopped: whether it is over.
    """

    step: int = 0
    epoch: int = 0
    taken: int = 0
    carried: Any = None
    best: float | None = None
    waited: int = 0
    best_weights: dict[str, Any] | None = None
    stopped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What :func:`read` found.

    Attributes:
        position: where the training stands.
        parts: the state dicts that were saved, by name.
        random: torch's random states, by device.
        records: of the steps done.
    """

    position: Position
    parts: dict[str, Any]
    random: dict[str, torch.Tensor]
    records: list[Record]


def write(
    folder: Path,
    recipe: Recipe,
    module: nn.Module,
    saved: Saved,
) -> None:
    """Replace the folder's ``training.pt`` at one stroke."""
    content = {
        "version": _VERSION,
        "recipe": asdict(recipe),
        "model": _describe(module),
        "position": {name: getattr(saved.position, name) for name in Position.__dataclass_fields__},
        "parts": saved.parts,
        "random": saved.random,
        "records": to_tensor(saved.records),
    }
    file = io.BytesIO()
    torch.save(content, file)
    write_atomically(folder / FILE, file.getvalue())


def read(folder: Path, recipe: Recipe, module: nn.Module) -> Saved | None:
    """What the folder's ``training.pt`` holds, on the processor; None where there is no such file.

    Raises:
        CheckpointError: it cannot be read, or is of another recipe or another model.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    remedy = "Give another folder, or delete the file to begin anew."
    try:
        # Tensors and plain values only: a file that was saved is data, and reading one must never run code.
        content = torch.load(path, map_location="cpu", weights_only=True)
        version = content["version"]
    except (RuntimeError, UnpicklingError, BadZipFile, EOFError, KeyError, TypeError) as error:
        raise CheckpointError(f"'{path}' is no saved training: {error}. {remedy}") from error
    if version != _VERSION:
        raise CheckpointError(f"'{path}' has the version {version}; {_VERSION} is known. {remedy}")
    different = recipe.differences(content["recipe"])
    if different:
        raise CheckpointError(f"'{path}' is a training of another recipe: {', '.join(different)}. {remedy}")
    here, there = _describe(module), content["model"]
    if here != there:
        names = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
        shown = [f"'{name}' {there.get(name, 'nothing')} there and {here.get(name, 'nothing')} here" for name in names]
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        raise CheckpointError(f"'{path}' is a training of another model: {', '.join(shown[:3])}{more}. {remedy}")
    return Saved(
        position=Position(**content["position"]),
        parts=content["parts"],
        random=content["random"],
        records=from_tensor(content["records"]),
    )


def _describe(module: nn.Module) -> dict[str, str]:
    """What a model is recognised by: its class, and what its state dict holds."""
    held = {name: f"{value.dtype} {tuple(value.shape)}" for name, value in module.state_dict().items()}
    return {"class": type(module).__name__, **held}
