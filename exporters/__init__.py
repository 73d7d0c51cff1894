"""PyTorch to bundle: capture, lowering, simplification and the proof. Needs the extra ``rnnx[export]``."""

from __future__ import annotations

from ..errors import MissingExtraError

try:
    from .checkpoint import load_checkpoint
    from .exporter import Exported, export, prove_bundle
    from .source import Source, load_source
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"exporting needs '{error.name}', which is not installed. Run: pip install 'rnnx[export]'."
    ) from error

__all__ = ["Exported", "Source", "export", "load_checkpoint", "load_source", "prove_bundle"]
