"""Tasks: what a person hands over (text, audio, image, CSV) -> arrays, and answers -> what a person expects.

A bundle that holds ``task.json`` tells how; :func:`load_task` opens it. NumPy and the standard library only; images
need Pillow, which is imported when the first image is read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .description import Description
    from .task import Task, load_task

__all__ = ["Description", "Task", "load_task"]

_HOMES = {"Description": ".description", "Task": ".task", "load_task": ".task"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the module holds)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rnnx.runtime.tasks' has no attribute '{name}'")
    return getattr(importlib.import_module(home, __name__), name)
