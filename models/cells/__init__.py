"""Recurrent cells that no framework has as a layer, each on :func:`rnnx.scan`: a plain loop here, a ``Scan`` in ONNX.

All have one face, that of torch's layers with ``batch_first=True``:

    output, state = cell(x, state=None, lengths=None)

with ``x`` float32 ``(batch, time, features)``, ``output`` float32 ``(batch, time, hidden)``, a state that is a tensor
or a tuple of tensors ``(batch, ...)`` and begins at zero where none is given, and ``lengths`` int64 ``(batch,)``: past
a row's length its state stays and its output is zero. ``reverse=True`` reads each row from its own last step.

What depends on ``x`` alone is computed for all steps at once, before the loop. Gates are stacked in one weight, in the
order that the class names. Names are looked up on first use: importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clockwork import Clockwork
    from .convolutional import ConvLSTM
    from .coupled import CoupledLSTM
    from .elman import IRNN, Elman
    from .jordan import Jordan
    from .layer_norm import LayerNormGRU, LayerNormLSTM
    from .minimal import MinimalGatedUnit
    from .multiplicative import MultiplicativeLSTM
    from .peephole import PeepholeLSTM
    from .projected import ProjectedLSTM
    from .wrappers import Bidirectional, Stack

__all__ = [
    "IRNN",
    "Bidirectional",
    "Clockwork",
    "ConvLSTM",
    "CoupledLSTM",
    "Elman",
    "Jordan",
    "LayerNormGRU",
    "LayerNormLSTM",
    "MinimalGatedUnit",
    "MultiplicativeLSTM",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "Stack",
]

_HOMES = {
    "IRNN": "elman",
    "Bidirectional": "wrappers",
    "Clockwork": "clockwork",
    "ConvLSTM": "convolutional",
    "CoupledLSTM": "coupled",
    "Elman": "elman",
    "Jordan": "jordan",
    "LayerNormGRU": "layer_norm",
    "LayerNormLSTM": "layer_norm",
    "MinimalGatedUnit": "minimal",
    "MultiplicativeLSTM": "multiplicative",
    "PeepholeLSTM": "peephole",
    "ProjectedLSTM": "projected",
    "Stack": "wrappers",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the module holds)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{home}", __name__), name)
