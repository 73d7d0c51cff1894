"""What a model says of itself: its metadata and its configuration, as the protocol's clients read them.

Sources: Open Inference Protocol v2, "Model Metadata"; the extension for model configuration, whose JSON is the
``ModelConfig`` of ``inference.proto``. A dynamic axis is -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....signature import BATCH
from .datatypes import config_type_of, datatype_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ....signature import Signature, TensorSpec

#: What runs the models, where Triton names a backend.
PLATFORM = "rnnx_onnxruntime"
#: The version of every model: a bundle is served under one.
VERSION = "1"

#: Extensions of the protocol that every rnnx server has.
EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "sequence",
    "statistics",
)


def server_metadata(version: str) -> dict[str, Any]:
    """The answer of ``GET v2``.

    Args:
        version: of rnnx.
    """
    return {"name": "rnnx", "version": version, "extensions": list(EXTENSIONS)}


def faces(signature: Signature, *, states: bool) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs that a client sees.

    Args:
        signature: of the variant.
        states: whether the client carries the states. Where the server keeps them, a client sees none of them; the
            mark of a stream's last run is one of them, too, and ``sequence_end`` gives it.
    """
    if states:
        return signature.inputs, signature.outputs
    kept = {state.output for state in signature.states}
    hidden = signature.state_names
    return (
        tuple(spec for spec in signature.inputs if spec.name not in hidden),
        tuple(spec for spec in signature.outputs if spec.name not in kept),
    )


def optional_inputs(signature: Signature, *, states: bool) -> frozenset[str]:
    """Names of the inputs that a client may leave out: lengths, and states that begin at their initial values."""
    names = {one.name for one in signature.lengths}
    return frozenset(names | signature.state_names if states else names)


def model_metadata(
    name: str, signature: Signature, *, states: bool = False, parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The answer of ``GET v2/models/NAME``.

    Args:
        name: the model's name.
        signature: of the variant that is served.
        states: whether the client carries the states, which are then inputs and outputs like others.
        parameters: what else is to be told, such as the bundle's hash.
    """
    inputs, outputs = faces(signature, states=states)
    found: dict[str, Any] = {
        "name": name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in inputs],
        "outputs": [_tensor(spec) for spec in outputs],
    }
    return found | ({"parameters": dict(parameters)} if parameters else {})


def model_config(
    name: str,
    signature: Signature,
    *,
    states: bool = False,
    max_batch: int = 0,
    max_delay_us: int = 0,
    max_queue: int = 0,
    max_streams: int = 0,
    idle_us: int = 0,
    file: str = "",
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The answer of ``GET v2/models/NAME/config``: Triton's model configuration, as far as it says something here.

    Args:
        name: the model's name.
        signature: of the variant that is served.
        states: whether the client carries the states.
        max_batch: the most rows that run at once; 0 where the model is not batched. It counts only where axis 0 of
            every input and output is the batch: dims then leave it out, as Triton does.
        max_delay_us: how long a request waits for others, microseconds.
        max_queue: how many requests may wait.
        max_streams: how many streams the server keeps; above 0 only for a model whose states the server keeps.
        idle_us: after how many idle microseconds a stream ends.
        file: the variant's ONNX file.
        parameters: what else is to be told.
    """
    inputs, outputs = faces(signature, states=states)
    batched = max_batch > 0 and all(spec.axes[:1] == (BATCH,) for spec in (*inputs, *outputs))
    skipped = 1 if batched else 0
    optional = optional_inputs(signature, states=states)
    found: dict[str, Any] = {
        "name": name,
        "platform": PLATFORM,
        "backend": "rnnx",
        "version_policy": {"specific": {"versions": [int(VERSION)]}},
        "max_batch_size": max_batch if batched else 0,
        "input": [
            _config_tensor(spec, skipped) | ({"optional": True} if spec.name in optional else {}) for spec in inputs
        ],
        "output": [_config_tensor(spec, skipped) for spec in outputs],
        "default_model_filename": file,
        "parameters": {key: {"string_value": value} for key, value in (parameters or {}).items()},
        "model_transaction_policy": {"decoupled": False},
    }
    if max_streams:
        found["sequence_batching"] = {
            "max_sequence_idle_microseconds": idle_us,
            "oldest": {"max_candidate_sequences": max_streams, "max_queue_delay_microseconds": max_delay_us},
            "state": _states(signature, skipped),
        }
    elif batched:
        found["dynamic_batching"] = {
            "max_queue_delay_microseconds": max_delay_us,
            "default_queue_policy": {"allow_timeout_override": True, "max_queue_size": max_queue},
        }
    return found


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": _dims(spec.axes)}


def _config_tensor(spec: TensorSpec, skipped: int) -> dict[str, Any]:
    return {"name": spec.name, "data_type": config_type_of(spec.dtype), "dims": _dims(spec.axes[skipped:])}


def _dims(axes: Iterable[int | str]) -> list[int]:
    return [axis if isinstance(axis, int) else -1 for axis in axes]


def _states(signature: Signature, skipped: int) -> list[dict[str, Any]]:
    """The states that the server keeps; they too leave out the batch where it is axis 0 of them."""
    return [
        {"input_name": state.name, "output_name": state.output}
        | {"data_type": config_type_of(spec.dtype), "dims": _dims(spec.axes[skipped:])}
        for state in signature.states
        if state.output
        for spec in (signature.input(state.name),)
    ]
