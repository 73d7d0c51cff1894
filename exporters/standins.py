"""Who answers for torch's recurrent modules and packing functions while a model is captured, and only then.

The classes' ``forward`` and the functions' code are replaced for the time of a block; other threads go on getting
torch's own answers.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

from . import packed, pooling, recurrence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from .observed import Observed

_active: contextvars.ContextVar[Observed | None] = contextvars.ContextVar("rnnx_capture", default=None)
#: Held by whoever has replaced the code of functions that other threads may call.
PATCHING = threading.RLock()


@contextmanager
def capturing(run: Observed) -> Iterator[None]:
    """Within this block, and in this thread, torch's recurrent modules and packing answer in our own way."""
    with PATCHING, ExitStack() as stack:
        token = _active.set(run)
        stack.callback(_active.reset, token)
        for torch_class, forward in (recurrence.FORWARDS | pooling.FORWARDS).items():
            stack.callback(setattr, torch_class, "forward", torch_class.forward)
            torch_class.forward = _forward(torch_class.forward, forward)
        for function, stand_in in packed.FUNCTIONS.items():
            # Callers hold references of their own (`from torch.nn.utils.rnn import ...`), which replacing the
            # module's attribute would not reach. Replacing the function's code reaches them all.
            stack.callback(setattr, function, "__code__", function.__code__)
            stack.callback(_STAND_INS.pop, function.__name__)
            original: Callable[..., Any] = FunctionType(
                function.__code__, function.__globals__, function.__name__, function.__defaults__
            )
            _STAND_INS[function.__name__] = (stand_in, original)
            function.__code__ = _TRAMPOLINES[function.__name__].__code__
        yield


def _forward(original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)  # torch.export reads the names of the arguments
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        run = _active.get()
        return original(self, *args, **kwargs) if run is None else ours(self, run, *args, **kwargs)

    return forward


@contextmanager
def unobserved() -> Iterator[None]:
    """Within this block torch's modules and functions answer as ever, also during a capture."""
    token = _active.set(None)
    try:
        yield
    finally:
        _active.reset(token)


def observing() -> Observed | None:
    """Who observes in this thread, or None where nothing is captured."""
    return _active.get()


def answer(name: str, *args: Any) -> Any:  # noqa: ANN401
    """Called by torch's own packing functions during capture; threads that capture nothing get the original."""
    stand_in, original = _STAND_INS[name]
    run = _active.get()
    return original(*args) if run is None else stand_in(run, *args)


_STAND_INS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}


# The bodies below run with torch's globals, so they import what they call. Their parameters are torch's own.
def _pack(input, lengths, batch_first=False, enforce_sorted=True):  # type: ignore[no-untyped-def]  # noqa: A002, ANN001, ANN202, FBT002
    from rnnx.exporters.standins import answer  # noqa: PLC0415

    return answer("pack_padded_sequence", input, lengths, batch_first, enforce_sorted)


def _pad(sequence, batch_first=False, padding_value=0.0, total_length=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, FBT002
    from rnnx.exporters.standins import answer  # noqa: PLC0415

    return answer("pad_packed_sequence", sequence, batch_first, padding_value, total_length)


_TRAMPOLINES = {"pack_padded_sequence": _pack, "pad_packed_sequence": _pad}
