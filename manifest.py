"""The manifest: what a bundle says of itself, in ``manifest.json``.

It comes from somewhere else, so everything in it is checked before anything that it names is opened. Its form is
published in ``bundle.schema.json``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .errors import ManifestError, NewerSchemaError, UnsafePathError
from .precision import Quantization
from .signature import Signature
from .tuned import Tuned

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Versions of the manifest's form that are read. One is added whenever an older rnnx could misread a newer manifest; a
#: manifest has the first that can say what it says. 2 knows golden vectors of a variant's own.
SCHEMA_VERSIONS = (1, 2)
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
PARITY = "parity.json"
STATES = "states.npz"
#: Key of the manifest's tuned entries.
TUNED = "tuned"
#: Key of the manifest's ``source`` where the source takes lengths in descending order only.
DESCENDING = "descending_lengths"

#: Inputs of a streaming graph that say where in the stream a run stands, int64 ``(batch,)``, the same in every row. The
#: first is a state, which is 1 from the second run on; the second is 1 in the last run and has no output.
BEGUN = "stream.begun"
ENDING = "stream.ending"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """How far a candidate may be from its reference, element by element: ``atol * max(scale, floor)``.

    Attributes:
        atol: absolute tolerance for an output whose scale is one.
        floor: smallest scale, so that an output of zeros is not held to a tolerance of zero.
    """

    atol: float
    floor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunks:
    """How many frames the runs of a stream take, where that is not any number.

    A graph that skips frames (a stride) takes multiples of some number, and one that looks ahead takes more in its
    first run. :meth:`rnnx.Session.step` takes any number all the same: it lets frames wait.

    Attributes:
        axis: name of the axis that is cut into chunks.
        multiple: every run but the first and the last takes a multiple of this many frames.
        first: the fewest frames of a first run; more by multiples of ``multiple``.
        keep: frames that are held back until the stream ends, because the last run must not be shorter.
        last: the fewest frames of a last run after others; fewer give nothing more.
        least: the fewest frames of a whole stream, which is then one run; fewer give nothing.
    """

    axis: str
    multiple: int = 1
    first: int = 1
    keep: int = 0
    last: int = 1
    least: int = 1

    @property
    def delay(self) -> int:
        """How many frames after a frame must have come before the answer for it is given."""
        return self.first - self.multiple + self.keep

    def __str__(self) -> str:
        """For people: what must have come before an answer is given."""
        parts = [f"an answer for frame t needs frame t+{self.delay}"] if self.delay else []
        parts += [f"frames are taken {self.multiple} at a time"] if self.multiple > 1 else []
        return "; ".join(parts) or "answers come with their frames, and the last ones when the stream ends"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict, as the manifest holds it."""
        return {
            "axis": self.axis,
            "multiple": self.multiple,
            "first": self.first,
            "keep": self.keep,
            "last": self.last,
            "least": self.least,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Chunks:
        """The chunks that :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: ``data`` is not such a dict, or no stream can be run so.
        """
        numbers = {name: int(data[name]) for name in ("multiple", "first", "keep", "last", "least")}
        if (
            min(numbers["multiple"], numbers["first"], numbers["least"]) < 1
            or min(numbers["keep"], numbers["last"]) < 0
        ):
            raise ValueError(f"chunks of {numbers} frames cannot be run")
        return cls(axis=str(data["axis"]), **numbers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One ONNX file of a bundle.

    Attributes:
        precision: ``fp32``, ``int8`` or ``fp16``.
        mode: ``offline`` (whole sequences) or ``streaming`` (state in, state out).
        file: its path in the bundle.
        opset: version of the ONNX operator set.
        tolerance: what its parity was judged by.
        operators: how many nodes of each operator the graph has, subgraphs included.
        data_files: files of external weights, beside ``file``.
        signature: its face where that is not the bundle's own: a streaming variant has states and no lengths.
        chunks: how many frames the runs of a stream take; None where that is any number.
        quantization: of a lower precision: what it was allowed to lose and what it lost; else None.
        form: empty for the graph that export makes; else the name of another graph of the same precision and mode,
            such as ``scan``, which computes the same in another way.
        golden: the file of its own golden vectors, or empty for the bundle's. A variant of lower precision that was
            proven by a metric has its own where it may choose otherwise than fp32, such as another token.
    """

    precision: str
    mode: str
    file: str
    opset: int
    tolerance: Tolerance
    operators: Mapping[str, int]
    data_files: tuple[str, ...] = ()
    signature: Signature | None = None
    chunks: Chunks | None = None
    quantization: Quantization | None = None
    form: str = ""
    golden: str = ""

    @property
    def key(self) -> str:
        """``fp32-offline``, or ``fp32-offline-scan`` with a form: the name of the variant."""
        return variant_key(self.precision, self.mode, self.form)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """What the manifest says of one file.

    Attributes:
        size_bytes: its size in bytes.
        sha256: its SHA-256, 64 hexadecimal digits.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        name: the model's name.
        signature: its inputs, outputs, lengths and states.
        variants: its ONNX files.
        source: where it came from: source, its hash, the checkpoint's hash.
        tools: versions of what made it.
        files: every other file of the bundle, by path.
        notes: what a user should know, one sentence each.
        tuned: the best way to run it on machines that it was tuned on. No part of what the bundle is: see
            :func:`identity`.
    """

    name: str
    signature: Signature
    variants: tuple[Variant, ...]
    source: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tuned: tuple[Tuned, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict in the form of ``bundle.schema.json``."""
        return {
            "schema_version": SCHEMA_VERSIONS[any(one.golden for one in self.variants)],
            "name": self.name,
            "signature": self.signature.to_json(),
            "variants": [
                {
                    "precision": one.precision,
                    "mode": one.mode,
                    "file": one.file,
                    "opset": one.opset,
                    "tolerance": {"atol": one.tolerance.atol, "floor": one.tolerance.floor},
                    "operators": dict(sorted(one.operators.items())),
                    "data_files": list(one.data_files),
                    "signature": None if one.signature is None else one.signature.to_json(),
                    "chunks": None if one.chunks is None else one.chunks.to_json(),
                    **({} if one.quantization is None else {"quantization": one.quantization.to_json()}),
                    **({"form": one.form} if one.form else {}),
                    **({"golden": one.golden} if one.golden else {}),
                }
                for one in self.variants
            ],
            "source": dict(self.source),
            "tools": dict(sorted(self.tools.items())),
            "notes": list(self.notes),
            "files": {
                path: {"size_bytes": entry.size_bytes, "sha256": entry.sha256}
                for path, entry in sorted(self.files.items())
            },
            **({TUNED: [one.to_json() for one in self.tuned]} if self.tuned else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """The manifest that :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: ``data`` is not such a dict.
        """
        return cls(
            name=str(data["name"]),
            signature=Signature.from_json(data["signature"]),
            variants=tuple(
                Variant(
                    precision=str(one["precision"]),
                    mode=str(one["mode"]),
                    file=_safe(one["file"]),
                    opset=int(one["opset"]),
                    tolerance=Tolerance(atol=float(one["tolerance"]["atol"]), floor=float(one["tolerance"]["floor"])),
                    operators={str(key): int(count) for key, count in one["operators"].items()},
                    data_files=tuple(_safe(path) for path in one["data_files"]),
                    signature=None if one["signature"] is None else Signature.from_json(one["signature"]),
                    chunks=None if one["chunks"] is None else Chunks.from_json(one["chunks"]),
                    # Left out where there is none, so that bundles of before have it too.
                    quantization=None if "quantization" not in one else Quantization.from_json(one["quantization"]),
                    form=str(one.get("form", "")),
                    golden=_safe(one["golden"]) if "golden" in one else "",
                )
                for one in data["variants"]
            ),
            source=dict(data["source"]),
            tools={str(key): str(version) for key, version in data["tools"].items()},
            notes=tuple(str(note) for note in data["notes"]),
            files={
                _safe(path): FileEntry(size_bytes=int(entry["size_bytes"]), sha256=str(entry["sha256"]))
                for path, entry in data["files"].items()
            },
            tuned=tuple(Tuned.from_json(one) for one in data.get(TUNED, ())),
        )


def variant_key(precision: str, mode: str, form: str = "") -> str:
    """``fp32-offline``, or ``fp32-offline-scan`` with a form: the name of a variant."""
    return "-".join([precision, mode, *([form] if form else [])])


def parse_manifest(raw: bytes, folder: Path) -> Manifest:
    """The manifest that stands in ``folder`` as these bytes.

    Raises:
        NewerSchemaError: a newer rnnx wrote it.
        ManifestError: it is truncated or breaks its schema.
        UnsafePathError: it names a file outside of the bundle.
    """
    try:
        data = json.loads(raw, parse_constant=_no_number)
        version = data["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(
            f"'{folder / MANIFEST}' is not a manifest ({str(error) or type(error).__name__}): it was cut or changed. "
            "Copy the bundle again."
        ) from error
    newest = SCHEMA_VERSIONS[-1]
    if isinstance(version, int) and version > newest:
        raise NewerSchemaError(
            f"bundle '{folder}' has schema version {version}; this rnnx reads up to {newest}. Upgrade rnnx."
        )
    if version not in SCHEMA_VERSIONS or isinstance(version, bool):
        allowed = ", ".join(map(str, SCHEMA_VERSIONS))
        raise ManifestError(f"'{folder / MANIFEST}' has schema version {version!r}; allowed are {allowed}.")
    try:
        manifest = Manifest.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UnsafePathError):
            raise
        what = f"'{error.args[0]}' is missing" if type(error) is KeyError else str(error)
        raise ManifestError(f"'{folder / MANIFEST}' breaks its schema: {what}. Export the bundle again.") from error
    if not manifest.variants:
        raise ManifestError(f"'{folder / MANIFEST}' lists no variants. Export the bundle again.")
    return manifest


def manifest_bytes(data: Mapping[str, Any]) -> bytes:
    """A manifest's JSON as it is written to a file."""
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def identity(raw: bytes) -> str:
    """SHA-256 of a manifest without its tuned entries, 64 hexadecimal digits.

    Tuning says how to run a bundle, not what it is: a stream's state that was saved before goes on after it. Of a
    manifest that rnnx wrote and nobody tuned it is the file's own SHA-256.

    Args:
        raw: a manifest that :func:`parse_manifest` took.
    """
    data = json.loads(raw)
    data.pop(TUNED, None)
    return hashlib.sha256(manifest_bytes(data)).hexdigest()


def _no_number(name: str) -> float:
    """NaN and infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number")


def _safe(name: object) -> str:
    """A file's path in the bundle, after it was found to stay there."""
    path = PurePosixPath(str(name))
    parts = str(name).split("/")
    if not isinstance(name, str) or path.is_absolute() or "\\" in name or ":" in name or {"", ".", ".."} & {*parts}:
        raise UnsafePathError(
            f"the manifest names the file {name!r}, which is not a plain path inside the bundle. "
            "Do not use this bundle."
        )
    return name
