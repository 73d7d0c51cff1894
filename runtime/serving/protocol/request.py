"""One inference request and its answer, whichever transport brought it.

Source: Open Inference Protocol v2 (required API and the extensions for binary tensors, sequences and classification of
parameters), https://github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

#: What a parameter may be.
Parameter = bool | int | float | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """Which stream a request belongs to.

    Attributes:
        id: the client's name of it: a whole number from 1, or a text that is not empty.
        start: whether this request begins it.
        end: whether this request ends it.
    """

    id: int | str
    start: bool = False
    end: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedOutput:
    """One output that a client asks for.

    Attributes:
        name: its name.
        binary: whether it is to come as bytes behind the JSON; None where the request's default counts.
    """

    name: str
    binary: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """What a client asks.

    Attributes:
        model: name of the model.
        version: its version, or empty for the one that is served.
        id: the client's own name of the request, or empty.
        inputs: arrays by input name, in the dtypes that the client said.
        outputs: what is asked for; empty for all outputs.
        sequence: the stream that it belongs to, or None.
        timeout_us: how long it may wait and run, microseconds; None where the client does not say.
        binary: whether outputs that say nothing come as bytes (HTTP only).
        parameters: the rest of what the client said.
    """

    model: str
    version: str = ""
    id: str = ""
    inputs: Mapping[str, NDArray[np.generic]]
    outputs: tuple[RequestedOutput, ...] = ()
    sequence: Sequence | None = None
    timeout_us: int | None = None
    binary: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResponse:
    """What a model answers.

    Attributes:
        model: name of the model.
        version: its version.
        id: of the request.
        outputs: arrays by output name, in the order asked for.
        parameters: of the answer; ``sequence_id``, ``sequence_start`` and ``sequence_end`` for streams.
    """

    model: str
    version: str
    id: str = ""
    outputs: Mapping[str, NDArray[np.generic]]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
