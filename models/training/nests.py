"""Nests: tensors in tuples, lists and dicts, as batches and carried states come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], nest: Any) -> Any:  # noqa: ANN401  (any nest)
    """The same nest with ``function`` of each tensor; what is no tensor (a number, a text, None) stays as it is."""
    if isinstance(nest, torch.Tensor):
        return function(nest)
    if isinstance(nest, dict):
        return {key: map_tensors(function, value) for key, value in nest.items()}
    if isinstance(nest, list):
        return [map_tensors(function, value) for value in nest]
    if isinstance(nest, tuple):
        values = (map_tensors(function, value) for value in nest)
        return type(nest)(*values) if hasattr(nest, "_fields") else tuple(values)  # a named tuple takes them apart
    return nest


def move(nest: Any, device: torch.device) -> Any:  # noqa: ANN401  (any nest)
    """The nest with its tensors on ``device``."""
    return map_tensors(lambda tensor: tensor.to(device), nest)


def detach(nest: Any) -> Any:  # noqa: ANN401  (any nest)
    """The nest with tensors that know nothing of how they came to be: where back-propagation through time is cut."""
    return map_tensors(torch.Tensor.detach, nest)
