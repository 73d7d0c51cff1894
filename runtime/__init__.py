"""Bundle to answers: NumPy and ONNX Runtime only, never torch or onnx.

The names below are looked up on first use, so that ``rnnx doctor`` and ``rnnx --help`` run without ONNX Runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choice import ProviderChoice
    from .doctor import Diagnosis, diagnose
    from .engine import Engine
    from .loading import load
    from .session import Session
    from .state import State
    from .stream import Stream
    from .verify import VerifyReport

__all__ = ["Diagnosis", "Engine", "ProviderChoice", "Session", "State", "Stream", "VerifyReport", "diagnose", "load"]

_HOMES = {
    "Diagnosis": ".doctor",
    "Engine": ".engine",
    "ProviderChoice": ".choice",
    "Session": ".session",
    "State": ".state",
    "Stream": ".stream",
    "VerifyReport": ".verify",
    "diagnose": ".doctor",
    "load": ".loading",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the module holds)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rnnx.runtime' has no attribute '{name}'")
    return getattr(importlib.import_module(home, __name__), name)
