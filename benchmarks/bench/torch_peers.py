"""Peers that run the source itself: PyTorch eager, ``torch.compile``, TorchScript."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from ...bundle import Bundle
from ...exporters import load_source
from ...exporters.arguments import bind
from ...exporters.outputs import flatten_outputs
from ...exporters.quiet import quiet
from ...exporters.source import parse_init
from .candidates import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .candidates import Inputs, Spec
    from .request import Origin


class TorchPeer:
    """The source, made ready anew for each set of inputs.

    In streaming mode it runs the same chunk from its own beginning: a source has no state to give out.
    """

    def __init__(self, spec: Spec, origin: Origin) -> None:
        """Build the source and load its weights.

        Raises:
            SourceError, CheckpointError: the source cannot be built.
        """
        self.spec = spec
        self.note = ""
        self._signature = Bundle.open(origin.bundle).manifest.signature
        self._module = _load(origin)

    def prepare(self, inputs: Inputs) -> Prepared:
        """Arguments of ``forward`` for these inputs, and the model compiled for them where the peer does that."""
        # The same for every torch peer that is measured beside this one.
        torch.set_num_threads(self.spec.threads)
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        arguments = bind(self._signature, tensors)
        with torch.inference_mode(), quiet("torch._dynamo", "torch._inductor"):
            ready = self._ready(arguments)
            ready(arguments)

        def call() -> Any:  # noqa: ANN401  (whatever the source returns)
            with torch.inference_mode():
                return ready(arguments)

        def outputs() -> dict[str, NDArray[Any]]:
            found = [one.numpy(force=True).copy() for one in flatten_outputs(call())]
            return dict(zip((spec.name for spec in self._signature.outputs), found, strict=True))

        return Prepared(call=call, outputs=outputs)

    def _ready(self, arguments: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        module = self._module
        if self.spec.engine == "torch-compile":
            # Fresh for each shape: beyond its limit of recompilations torch goes back to eager without a word.
            torch.compiler.reset()
            compiled = torch.compile(module, dynamic=False)
            self.note = _left_to_eager(module)
            return lambda given: compiled(**given)
        if self.spec.engine == "torchscript":
            scripted = self._script(arguments)
            return lambda given: scripted(**given)
        return lambda given: module(**given)

    def _script(self, arguments: dict[str, Any]) -> Any:  # noqa: ANN401  (torch.jit has no types)
        try:
            scripted = torch.jit.script(self._module)
            self.note = "scripted"
        except Exception:  # noqa: BLE001  (whatever the compiler does not take, tracing may)
            scripted = torch.jit.trace(  # type: ignore[no-untyped-call]
                self._module, example_kwarg_inputs=arguments, check_trace=False
            )
            self.note = "traced"
        return torch.jit.freeze(scripted.eval())

    def close(self) -> None:
        """Forget the model."""
        del self._module


def _left_to_eager(module: torch.nn.Module) -> str:
    """Which layers ``torch.compile`` runs as they are, as it comes; empty where there are none."""
    layers = sorted({type(one).__name__ for one in module.modules() if isinstance(one, torch.nn.RNNBase)})
    # Not a documented name. Where it is gone nothing is known, so nothing is said.
    if not layers or getattr(importlib.import_module("torch._dynamo.config"), "allow_rnn", True):
        return ""
    return f"torch.compile leaves {', '.join(layers)} to eager"


@lru_cache(maxsize=1)
def _load(origin: Origin) -> torch.nn.Module:
    """The source, built once for all peers."""
    return load_source(
        origin.source or "",
        init=parse_init(origin.init),
        checkpoint=origin.checkpoint,
        trust_pickle=origin.trust_pickle,
    ).module
