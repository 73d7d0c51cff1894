"""Memory and loading of a candidate, measured in a process of its own.

In the benchmark's own process every candidate would carry the memory of all others, and the second to load would find
the engine loaded already.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bundle import Bundle
from .candidates import OWN, Spec, open_candidate
from .inputs import make_inputs
from .peers import import_engine
from .request import PEERS, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT_SECONDS = 600
_RUNS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a candidate takes before its first answer, and afterwards.

    Attributes:
        import_ms: importing the engine, in a new process.
        load_ms: reading and compiling the model.
        first_ms: the first answer after that, what is compiled for its shape included.
        resident_mib: memory after some runs, of the whole process.
        peak_mib: most memory at any moment.
        own_mib: what of the resident memory came with loading and running the model, the engine's import left out.
        disk_bytes: bytes of the files it runs, or None where the source's code is its model.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    resident_mib: float | None
    peak_mib: float | None
    own_mib: float | None
    disk_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self)


def measure_resources(spec: Spec, origin: Origin, sizes: Mapping[str, int], *, seed: int) -> Resources | str:
    """Load and run a candidate in a new process.

    Args:
        spec: the candidate.
        origin: where it comes from.
        sizes: of every dynamic axis: memory depends on them.
        seed: of its inputs.

    Returns:
        What it took, or why that cannot be told.
    """
    job = {"spec": spec.to_json(), "origin": asdict(origin), "sizes": dict(sizes), "seed": seed}
    command = [sys.executable, "-c", f"from {__name__} import child; child()"]
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter)
            command, input=json.dumps(job), capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_LIMIT_SECONDS} s"
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    # The last line: an engine may print something of its own before.
    return Resources(**json.loads(lines[-1]))


def child() -> None:
    """What the new process does: a job on its standard input, figures on its standard output."""
    job = json.load(sys.stdin)
    origin = Origin(**{**job["origin"], "init": tuple(job["origin"]["init"])})
    print(json.dumps(_measure_here(Spec(**job["spec"]), origin, job["sizes"], job["seed"]).to_json()))  # noqa: T201


def _measure_here(spec: Spec, origin: Origin, sizes: Mapping[str, int], seed: int) -> Resources:
    bundle = Bundle.open(origin.bundle)
    inputs = make_inputs(bundle.manifest.signature, sizes, seed=seed)
    began = time.perf_counter()
    import_engine(spec.engine)
    imported = time.perf_counter()
    before = _memory_mib("VmRSS")
    candidate = open_candidate(spec, origin)
    loaded = time.perf_counter()
    prepared = candidate.prepare(inputs)
    prepared.call()
    answered = time.perf_counter()
    for _ in range(_RUNS):
        prepared.call()
    resident = _memory_mib("VmRSS")
    return Resources(
        import_ms=(imported - began) * 1e3,
        load_ms=(loaded - imported) * 1e3,
        first_ms=(answered - loaded) * 1e3,
        resident_mib=resident,
        peak_mib=_memory_mib("VmHWM"),
        own_mib=None if resident is None or before is None else resident - before,
        disk_bytes=disk_bytes(spec, origin),
    )


def disk_bytes(spec: Spec, origin: Origin) -> int | None:
    """Bytes of the files that a candidate runs: a variant's graph and weights, or a torch peer's checkpoint."""
    if spec.engine != OWN and PEERS[spec.engine]:
        return Path(origin.checkpoint).stat().st_size if origin.checkpoint else None
    bundle = Bundle.open(origin.bundle)
    variant = bundle.variant(spec.precision, spec.mode, spec.form)
    return sum(bundle.manifest.files[name].size_bytes for name in (variant.file, *variant.data_files))


def _memory_mib(field: str) -> float | None:
    """A field of ``/proc/self/status`` in MiB; None on systems that have none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{field}:")), None)
    return None if found is None else int(found.split()[1]) / 1024
