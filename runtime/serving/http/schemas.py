"""JSON Schemas of what HTTP takes and gives, for the OpenAPI document (JSON Schema 2020-12, as OpenAPI 3.1 has it)."""

from __future__ import annotations

from typing import Any

from ..protocol.datatypes import DTYPES

_NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256}
_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}


def ref(name: str) -> dict[str, str]:
    """A reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """An object; all of its properties are required, unless others are named."""
    return {"type": "object", "properties": properties, "required": list(required or properties), **more}


def _list(of: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"type": "array", "items": of, **more}


_TEXT: dict[str, Any] = {"type": "string"}
_DIMS = _list({"type": "integer"})
_DATATYPE: dict[str, Any] = {"type": "string", "enum": list(DTYPES)}
_PARAMETERS: dict[str, Any] = {
    "type": ["object", "null"],
    "propertyNames": {"minLength": 1, "maxLength": 256},
    "maxProperties": 64,
    "additionalProperties": {"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string", "maxLength": 4096}]},
}
_DURATION = thing({"count": _WHOLE, "ns": _WHOLE})
_TIMES = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), _DURATION)
_STATISTICS = thing(
    {
        "name": _TEXT,
        "version": _TEXT,
        "last_inference": _WHOLE,
        "inference_count": _WHOLE,
        "execution_count": _WHOLE,
        "inference_stats": thing(
            dict.fromkeys(("success", "fail", "queue", *_TIMES, "cache_hit", "cache_miss"), _DURATION)
        ),
        "batch_stats": _list(thing({"batch_size": _WHOLE, **_TIMES})),
    }
)
_BINARY_SIZE = {"binary_data_size": _WHOLE}

SCHEMAS: dict[str, Any] = {
    "Error": thing({"error": {"type": "string", "minLength": 1}}, additionalProperties=False),
    "Live": thing({"live": {"type": "boolean"}}, additionalProperties=False),
    "Ready": thing({"ready": {"type": "boolean"}}, additionalProperties=False),
    "ModelReady": thing({"name": _TEXT, "ready": {"type": "boolean"}}, additionalProperties=False),
    "Server": thing({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "Tensor": thing({"name": _TEXT, "datatype": _DATATYPE, "shape": _DIMS}),
    "Model": thing(
        {
            "name": _TEXT,
            "versions": _list(_TEXT),
            "platform": _TEXT,
            "inputs": _list(ref("Tensor")),
            "outputs": _list(ref("Tensor")),
            "parameters": {"type": "object", "additionalProperties": _TEXT},
        },
        ("name", "versions", "platform", "inputs", "outputs"),
    ),
    "Config": thing(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "backend": _TEXT,
            "max_batch_size": _WHOLE,
            "input": _list(thing({"name": _TEXT, "data_type": _TEXT, "dims": _DIMS})),
            "output": _list(thing({"name": _TEXT, "data_type": _TEXT, "dims": _DIMS})),
        }
    ),
    "Statistics": thing({"model_stats": _list(_STATISTICS)}),
    "IndexRequest": thing({"ready": {"type": "boolean"}}, ("ready",)) | {"required": []},
    "Index": _list(
        thing(
            {
                "name": _TEXT,
                "version": _TEXT,
                "state": {"type": "string", "enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]},
                "reason": _TEXT,
            }
        )
    ),
    "LoadRequest": {
        "type": "object",
        "properties": {"parameters": {"type": ["object", "null"], "maxProperties": 0}},
    },
    "UnloadRequest": {
        "type": "object",
        "properties": {
            "parameters": {
                "type": ["object", "null"],
                "properties": {"unload_dependents": {"type": "boolean"}},
                "additionalProperties": False,
            }
        },
    },
    "Nothing": {"type": "object", "maxProperties": 0},
    "InferRequest": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "maxLength": 256},
            "parameters": _PARAMETERS,
            "inputs": _list(
                thing(
                    {
                        "name": _NAME,
                        "datatype": _DATATYPE,
                        "shape": _list(_WHOLE, maxItems=8),
                        "data": _list({}),
                        "parameters": _PARAMETERS,
                    },
                    ("name", "datatype", "shape"),
                ),
                minItems=1,
                maxItems=64,
            ),
            "outputs": {
                **_list(thing({"name": _NAME, "parameters": _PARAMETERS}, ("name",)), maxItems=64),
                "type": ["array", "null"],
            },
        },
        "required": ["inputs"],
    },
    "InferResponse": thing(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _PARAMETERS,
            "outputs": _list(
                thing(
                    {
                        "name": _TEXT,
                        "datatype": _DATATYPE,
                        "shape": _list(_WHOLE),
                        "data": _list({"type": ["number", "boolean"]}),
                        "parameters": thing(_BINARY_SIZE),
                    },
                    ("name", "datatype", "shape"),
                )
            ),
        },
        ("model_name", "model_version", "outputs"),
    ),
    "Status": thing(
        {
            "server": ref("Server"),
            "ready": {"type": "boolean"},
            "models": _list(
                thing(
                    {
                        "name": _TEXT,
                        "state": _TEXT,
                        "reason": _TEXT,
                        "variant": _TEXT,
                        "provider": _TEXT,
                        "inputs": _list(_TEXT),
                        "outputs": _list(_TEXT),
                        "example": {"anyOf": [ref("InferRequest"), {"type": "null"}]},
                        "answered": _WHOLE,
                        "failed": _WHOLE,
                        "pending": _WHOLE,
                        "streams": _WHOLE,
                        "latency": thing({"bounds_s": _list({"type": "number"}), "counts": _list(_WHOLE)}),
                    }
                )
            ),
        }
    ),
}
