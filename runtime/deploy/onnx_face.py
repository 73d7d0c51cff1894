"""The inputs and outputs of an ONNX file as ONNX Runtime reports them, so that no onnx package is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import DeployError
from ..ort import cpu_session

if TYPE_CHECKING:
    from pathlib import Path

#: Triton's names of ONNX Runtime's types.
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
    "tensor(bfloat16)": "TYPE_BF16",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """One input or output of a graph.

    Attributes:
        name: its name.
        data_type: Triton's name of its type, or ONNX Runtime's where Triton has none.
        shape: its axes: a size, a name, or None where nothing is said.
    """

    name: str
    data_type: str
    shape: tuple[int | str | None, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """The axes as Triton writes them: -1 for what is dynamic."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.shape)


def faces(model: Path) -> tuple[dict[str, Face], dict[str, Face]]:
    """Inputs and outputs of an ONNX file by name.

    Raises:
        DeployError: ONNX Runtime does not load it.
    """
    try:
        session: Any = cpu_session(str(model))
    except Exception as error:
        raise DeployError(f"ONNX Runtime does not load '{model.name}': {error}") from error
    inputs, outputs = (
        {
            one.name: Face(
                name=one.name,
                data_type=_TYPES.get(one.type, one.type),
                # ONNX Runtime gives -1, 0 or None for an axis of which the file says nothing, as its versions differ.
                shape=tuple(
                    axis if isinstance(axis, str) or (isinstance(axis, int) and axis > 0) else None
                    for axis in one.shape
                ),
            )
            for one in side
        }
        for side in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs
