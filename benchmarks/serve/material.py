"""What is asked of a server, and what a session of one's own answers: so that no wrong answer counts as a fast one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ...runtime.session import load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ...signature import Signature

FEATURES, HIDDEN, LAYERS = 80, 256, 2
#: Different requests that take turns, so that an answer to another one's request is seen.
KINDS = 16
#: Answers of a batch may differ from those of one request in their last bits.
ATOL = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What a bundle calls its tensors.

    Attributes:
        input: the float32 input ``(batch, time, features)``.
        output: its first output.
        lengths: the int64 input of lengths, or empty.
        features: size of the last axis of the input.
    """

    input: str
    output: str
    lengths: str
    features: int


def names_of(signature: Signature) -> Names:
    """The names in a signature.

    Raises:
        click.ClickException: it is not of one float32 input of three axes, the last of a fixed size.
    """
    apart = {one.name for one in signature.lengths} | {one.name for one in signature.states}
    floats = [spec for spec in signature.inputs if spec.name not in apart]
    if len(floats) != 1 or floats[0].dtype != "float32" or len(floats[0].axes) != 3:
        raise click.ClickException("the bundle must have one input, float32[batch, time, N], beside lengths.")
    features = floats[0].axes[2]
    if not isinstance(features, int):
        raise click.ClickException(f"the last axis of input '{floats[0].name}' must be a number; it is '{features}'.")
    states = {one.output for one in signature.states}
    output = next(spec.name for spec in signature.outputs if spec.name not in states)
    lengths = signature.lengths[0].name if signature.lengths else ""
    return Names(input=floats[0].name, output=output, lengths=lengths, features=features)


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Requests of one shape in HTTP's binary form, and their answers.

    Attributes:
        requests: each whole, head and body.
        bodies: the bodies alone.
        header_bytes: length of the JSON that each body begins with.
        path: what is asked.
        answers: float32 ``(kinds, batch, time, hidden)``.
        output: name of the output that these are.
    """

    requests: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    header_bytes: int
    path: str
    answers: NDArray[np.float32]
    output: str


def make_material(bundle: Path, *, batch: int, time: int, kinds: int = KINDS) -> Material:
    """Requests of one shape, and what a session answers to each alone."""
    random = np.random.default_rng(batch * 100_003 + time)
    with load(bundle, provider="cpu", threads=1, mode="offline") as session:
        names = names_of(session.signature)
        arrays = random.standard_normal((kinds, batch, time, names.features)).astype(np.float32)
        answers = np.stack([session.run({names.input: one})[names.output] for one in arrays])
    entry: dict[str, Any] = {
        "name": names.input,
        "datatype": "FP32",
        "shape": list(arrays.shape[1:]),
        "parameters": {"binary_data_size": arrays[0].nbytes},
    }
    asked = [{"name": names.output, "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": [entry], "outputs": asked}, separators=(",", ":")).encode()
    model = bundle.name.removesuffix(".rnnx")
    path = f"/v2/models/{model}/infer"
    bodies = tuple(header + one.tobytes() for one in arrays)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/octet-stream\r\n"
        f"inference-header-content-length: {len(header)}\r\ncontent-length: {len(bodies[0])}\r\n\r\n"
    ).encode("ascii")
    return Material(
        requests=tuple(head + body for body in bodies),
        bodies=bodies,
        header_bytes=len(header),
        path=path,
        answers=answers,
        output=names.output,
    )


def error_of(body: bytes, header_bytes: int, right: NDArray[np.float32]) -> float:
    """The largest difference of an answer of one output to what is right; infinite where its size is another."""
    values = np.frombuffer(body, np.float32, offset=header_bytes) if (len(body) - header_bytes) % 4 == 0 else None
    if values is None or values.size != right.size:
        return float("inf")
    return float(np.abs(values - right.ravel()).max())


def export_lstm(path: Path, *, hidden: int = HIDDEN, layers: int = LAYERS, features: int = FEATURES) -> None:
    """Write a bundle of an LSTM that takes padded sequences with their lengths, whole and in chunks."""
    import torch  # noqa: PLC0415  (not where a bundle is given)
    from torch import nn  # noqa: PLC0415
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: PLC0415

    from ...exporters import export  # noqa: PLC0415

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, layers, batch_first=True)

        def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
            encoded, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=frames.shape[1])
            return encoded

    torch.manual_seed(0)
    inputs = {"frames": f"float32[batch, time, {features}]"}
    export(Encoder().eval(), inputs=inputs, lengths="lengths", out=path, streaming="on")
