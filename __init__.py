"""rnnx: trained recurrent PyTorch models as proven ONNX bundles that run anywhere ONNX Runtime runs.

The light public face. Nothing here imports torch or onnx; :mod:`rnnx.exporters` does, and is imported when it is
first touched.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import MissingExtraError, RnnxError

if TYPE_CHECKING:
    from . import exporters
    from .bundle import Bundle
    from .exporters import scan, while_loop
    from .runtime import Engine, Session, State, Stream, load
    from .runtime.tasks import Task, load_task
    from .signature import Signature

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Engine",
    "MissingExtraError",
    "RnnxError",
    "Session",
    "Signature",
    "State",
    "Stream",
    "Task",
    "errors",
    "exporters",
    "load",
    "load_task",
    "scan",
    "while_loop",
]

#: Where each public name lives. They are looked up on first use, so that a command starts fast.
_HOMES = {
    "Bundle": ".bundle",
    "Engine": ".runtime",
    "Session": ".runtime",
    "Signature": ".signature",
    "State": ".runtime",
    "Stream": ".runtime",
    "Task": ".runtime.tasks",
    "exporters": "",
    "load": ".runtime",
    "load_task": ".runtime.tasks",
    "scan": ".exporters",
    "while_loop": ".exporters",
}

# Two distributions bring the module `onnxruntime` and destroy each other when both are installed, so neither is a
# hard dependency. The command line is let through: `rnnx doctor` must be able to say what is missing.
if importlib.util.find_spec("onnxruntime") is None and Path(sys.argv[0]).stem not in {"rnnx", "__main__", "-m"}:
    raise MissingExtraError(
        "rnnx needs ONNX Runtime, which is not installed. Run: pip install 'rnnx[cpu]' "
        "(or 'rnnx[gpu]' on a machine with an NVIDIA GPU; never both)."
    )


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the module holds)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rnnx' has no attribute '{name}'")
    if not home:
        return importlib.import_module(f".{name}", __name__)
    return getattr(importlib.import_module(home, __name__), name)
