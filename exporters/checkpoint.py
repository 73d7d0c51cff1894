"""Checkpoints as people really save them, loaded without running their code."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..errors import CheckpointError
from .quiet import quiet

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")
#: Where training loops put the weights among other things, most usual first.
_NESTED_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights")
#: What wrappers put before every key: DataParallel and DDP, torch.compile, Lightning modules.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_SHOWN = 8


def load_checkpoint(module: nn.Module, path: str | os.PathLike[str], *, trust_pickle: bool = False) -> None:
    """Load weights into a model, strictly: every key must be there, and fit.

    Weights are found under the keys that training loops use, and without the prefixes that wrappers add.

    Args:
        module: the model; changed only if everything fits.
        path: a ``.pt``, ``.pth``, ``.ckpt``, ``.bin`` or ``.safetensors`` file.
        trust_pickle: allow a pickle that holds more than tensors; reading it runs its code.

    Raises:
        CheckpointError: the file cannot be read, holds no weights, or they do not fit.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"the checkpoint '{file}' does not exist. Give the path of a weights file.")
    if file.suffix == ".safetensors":
        stored: Any = _read_safetensors(file)
    elif file.suffix in _PICKLED:
        stored = _read_pickle(file, trust_pickle=trust_pickle)
    else:
        raise CheckpointError(
            f"the checkpoint '{file}' ends with '{file.suffix}'; allowed are {', '.join(_PICKLED)} and .safetensors."
        )
    wanted = module.state_dict()
    weights = _without_prefixes(_weights_in(stored, file), wanted)
    _check(weights, wanted, file)
    module.load_state_dict(weights, strict=True)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the checkpoint '{file}' cannot be read: {error}. Save or copy it again.") from error


def _read_pickle(file: Path, *, trust_pickle: bool) -> Any:  # noqa: ANN401
    try:
        with quiet():
            return torch.load(file, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        # Bytes that are no pickle fail on an opcode. They must not be answered with the advice to trust them.
        garbage = "Unsupported operand" in str(error) and not zipfile.is_zipfile(file)
        if trust_pickle or garbage or "weights only" not in str(error).lower():
            raise CheckpointError(
                f"the checkpoint '{file}' cannot be read: it is no file that torch.save wrote, or it was cut or "
                "changed. Save or copy it again."
            ) from error
        what = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise CheckpointError(
            f"the checkpoint '{file}' holds more than weights{f' ({what[1]})' if what else ''}, and reading it would "
            "run code from it. Save only weights, torch.save(model.state_dict(), path), or pass --trust-pickle if "
            "you trust where it comes from."
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split(". ", 1)[0].rstrip(" .:")
        raise CheckpointError(f"the checkpoint '{file}' cannot be read: {reason}. Save or copy it again.") from error


def _weights_in(stored: Any, file: Path) -> dict[str, Tensor]:  # noqa: ANN401
    """The state dict, wherever in the checkpoint it is."""
    seen: Any = stored
    for _ in range(3):
        if isinstance(seen, nn.Module):
            return dict(seen.state_dict())
        if not isinstance(seen, dict):
            break
        entries: dict[Any, Any] = seen
        if entries and all(isinstance(one, Tensor) for one in entries.values()):
            return {str(key): value for key, value in entries.items()}
        # {"model": "lstm-large", "weights": {...}}: a name is no model.
        inner = (entries[key] for key in _NESTED_KEYS if key in entries)
        seen = next((one for one in inner if isinstance(one, dict | nn.Module)), None)
    found = f"the keys {_list(list(stored))}" if isinstance(stored, dict) and stored else f"a {type(stored).__name__}"
    raise CheckpointError(
        f"the checkpoint '{file}' has no state dict; it holds {found}. Weights are looked for at its top and under "
        f"{_list(_NESTED_KEYS)}. Save model.state_dict()."
    )


def _without_prefixes(weights: dict[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights without a wrapper's prefix on every key, as long as that brings them nearer to the model's."""
    while not weights.keys() & wanted.keys():
        prefix = next((one for one in _PREFIXES if all(key.startswith(one) for key in weights)), None)
        if prefix is None:
            break
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _check(weights: Mapping[str, Tensor], wanted: Mapping[str, Any], file: Path) -> None:
    missing = [key for key in wanted if key not in weights]
    unexpected = [key for key in weights if key not in wanted]
    misshapen = [
        f"{key} is {tuple(weights[key].shape)}, the model has {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in weights and isinstance(value, Tensor) and not is_lazy(value) and weights[key].shape != value.shape
    ]
    if missing or unexpected or misshapen:
        report = [
            f"  {what} ({len(found)}): {_list(found)}"
            for what, found in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
            if found
        ]
        raise CheckpointError(
            f"the checkpoint '{file}' does not fit the model:\n" + "\n".join(report) + "\n"
            "Build the model as it was trained (--init key=value), or give the checkpoint that belongs to it."
        )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
