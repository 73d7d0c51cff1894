"""Which fields a configuration may have, so that a misspelt one is found; from Triton's ``model_config.proto``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text_format import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

#: By message, its fields; a field that is a message of this table names it, others are None. A message that is not in
#: the table is not looked into.
FIELDS: dict[str, dict[str, str | None]] = {
    "ModelConfig": {
        "name": None,
        "platform": None,
        "backend": None,
        "runtime": None,
        "version_policy": None,
        "max_batch_size": None,
        "input": "ModelInput",
        "output": "ModelOutput",
        "batch_input": None,
        "batch_output": None,
        "optimization": None,
        "dynamic_batching": "ModelDynamicBatching",
        "sequence_batching": "ModelSequenceBatching",
        "ensemble_scheduling": None,
        "instance_group": "ModelInstanceGroup",
        "default_model_filename": None,
        "cc_model_filenames": None,
        "metric_tags": None,
        "parameters": None,
        "model_warmup": "ModelWarmup",
        "model_operations": None,
        "model_transaction_policy": None,
        "model_repository_agents": None,
        "response_cache": None,
        "model_metrics": None,
    },
    "ModelInput": dict.fromkeys(
        ("name", "data_type", "format", "dims", "is_shape_tensor", "allow_ragged_batch", "optional")
    )
    | {"is_non_linear_format_io": None, "reshape": "ModelTensorReshape"},
    "ModelOutput": dict.fromkeys(("name", "data_type", "dims", "label_filename", "is_shape_tensor"))
    | {"is_non_linear_format_io": None, "reshape": "ModelTensorReshape"},
    "ModelTensorReshape": {"shape": None},
    "ModelDynamicBatching": dict.fromkeys(
        (
            "preferred_batch_size",
            "max_queue_delay_microseconds",
            "preserve_ordering",
            "priority_levels",
            "default_priority_level",
            "default_queue_policy",
            "priority_queue_policy",
        )
    ),
    "ModelSequenceBatching": {
        "direct": "StrategyDirect",
        "oldest": "StrategyOldest",
        "max_sequence_idle_microseconds": None,
        "control_input": "ControlInput",
        "state": "State",
        "iterative_sequence": None,
    },
    "StrategyDirect": {"max_queue_delay_microseconds": None, "minimum_slot_utilization": None},
    "StrategyOldest": dict.fromkeys(
        ("max_candidate_sequences", "preferred_batch_size", "max_queue_delay_microseconds", "preserve_ordering")
    ),
    "ControlInput": {"name": None, "control": "Control"},
    "Control": dict.fromkeys(("kind", "int32_false_true", "fp32_false_true", "bool_false_true", "data_type")),
    "State": dict.fromkeys(
        ("input_name", "output_name", "data_type", "dims", "use_same_buffer_for_input_output", "use_growable_memory")
    )
    | {"initial_state": "InitialState"},
    "InitialState": dict.fromkeys(("data_type", "dims", "zero_data", "data_file", "name")),
    "ModelInstanceGroup": dict.fromkeys(
        ("name", "kind", "count", "rate_limiter", "gpus", "secondary_devices", "profile", "passive", "host_policy")
    ),
    "ModelWarmup": {"name": None, "batch_size": None, "inputs": "WarmupEntry", "count": None},
    "WarmupEntry": {"key": None, "value": "WarmupInput"},
    "WarmupInput": dict.fromkeys(("data_type", "dims", "zero_data", "random_data", "input_data_file")),
}
DATA_TYPES = (
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
)
#: Bytes of one element of the types that lie in files.
BYTES = {
    "TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_INT8": 1, "TYPE_INT16": 2, "TYPE_UINT16": 2, "TYPE_FP16": 2, "TYPE_BF16": 2,
    "TYPE_INT32": 4, "TYPE_UINT32": 4, "TYPE_FP32": 4, "TYPE_INT64": 8, "TYPE_UINT64": 8, "TYPE_FP64": 8,
}  # fmt: skip


def misspelt(message: Message, kind: str = "ModelConfig", where: str = "") -> Iterator[str]:
    """A sentence for each field that its message does not have, and each data type that there is not."""
    known = FIELDS[kind]
    for name, value in message.fields:
        path = f"{where}.{name}" if where else name
        if name not in known:
            yield f"field '{path}' is not known; {kind} has {', '.join(known)}"
            continue
        if name == "data_type" and value not in DATA_TYPES:
            yield f"'{path}' is '{value}'; the data types are {', '.join(DATA_TYPES)}"
        inner = known[name]
        if inner is not None and not isinstance(value, Message):
            yield f"'{path}' must be a message in braces"
        elif inner is not None and isinstance(value, Message):
            yield from misspelt(value, inner, path)
