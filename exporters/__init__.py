"""PyTorch to bundle: capture, lowering, simplification and the proof. Needs the extra ``rnnx[export]``.

Names are looked up on first use: training a model with :func:`scan` or :func:`while_loop`
needs torch, and none of what exports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from .checkpoint import load_checkpoint
    from .exporter import Exported, export, prove_bundle
    from .looping import while_loop
    from .quantization.budgets import Budget, parse_budget
    from .quantization.quantize import quantize
    from .scanning import scan
    from .source import Source, load_source

__all__ = [
    "Budget",
    "Exported",
    "Source",
    "export",
    "load_checkpoint",
    "load_source",
    "parse_budget",
    "prove_bundle",
    "quantize",
    "scan",
    "while_loop",
]

_HOMES = {
    "Budget": "quantization.budgets",
    "Exported": "exporter",
    "Source": "source",
    "export": "exporter",
    "load_checkpoint": "checkpoint",
    "load_source": "source",
    "parse_budget": "quantization.budgets",
    "prove_bundle": "exporter",
    "quantize": "quantization.quantize",
    "scan": "scanning",
    "while_loop": "looping",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the module holds)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rnnx.exporters' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module(f".{home}", __name__), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"exporting needs '{error.name}', which is not installed. Run: pip install 'rnnx[export]'."
        ) from error
