"""The protocol's datatypes and NumPy's dtypes.

Source: Open Inference Protocol v2, "Tensor Data Types"; the extension for binary data says how they stand in bytes:
little-endian, row-major, a BOOL being one byte of 0 or 1.
"""

from __future__ import annotations

import numpy as np

from ....errors import FeatureError, RequestError
from .limits import shown

#: NumPy dtypes by datatype, in the byte order of the protocol.
DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_NOT_OFFERED = {
    "BYTES": "no model here takes texts",
    "BF16": "no model here takes it and NumPy has no such type; send FP32",
}


def dtype_of(datatype: object, what: str) -> np.dtype[np.generic]:
    """The NumPy dtype of a datatype that a client named.

    Args:
        datatype: ``FP32`` and the like, of whatever type the client sent.
        what: the tensor, as a message names it.

    Raises:
        FeatureError: the protocol has it and rnnx does not take it.
        RequestError: there is no such datatype.
    """
    found = DTYPES.get(datatype) if isinstance(datatype, str) else None
    if found is None:
        if isinstance(datatype, str) and datatype in _NOT_OFFERED:
            raise FeatureError(f"{what} has the datatype '{datatype}', and {_NOT_OFFERED[datatype]}.")
        raise RequestError(f"{what} has the datatype {shown(datatype)}. The datatypes are {', '.join(DTYPES)}.")
    return found


def datatype_of(dtype: np.dtype[np.generic] | str) -> str:
    """The datatype of a NumPy dtype or its name; KeyError where the protocol has none."""
    found = _NAMES.get(dtype) if isinstance(dtype, np.dtype) else None  # nearly always, and a call for each tensor
    return _NAMES[np.dtype(dtype).newbyteorder("<")] if found is None else found


def config_type_of(dtype: np.dtype[np.generic] | str) -> str:
    """The datatype as a model's configuration writes it: ``TYPE_FP32``."""
    return f"TYPE_{datatype_of(dtype)}"
