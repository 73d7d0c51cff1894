"""The machine that a benchmark ran on, as far as it tells: what a reader needs to compare two of them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from ... import __version__
from ...runtime.machine import cores, cpu, nvidia_gpu, versions
from ...runtime.ort import DISTRIBUTIONS

#: What decides how fast a product is: instruction sets, and the bfloat16 that OpenVINO takes by itself.
_FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "hypervisor",
)  # fmt: skip
_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_AFFINITY", "KMP_BLOCKTIME",
    "GOMP_CPU_AFFINITY", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD",
)  # fmt: skip
_PACKAGES = ("numpy", *DISTRIBUTIONS, "torch", "openvino", "onnx")
_CPU = Path("/sys/devices/system/cpu/cpu0")
_ENERGY = Path("/sys/class/powercap")


def describe() -> dict[str, Any]:
    """A JSON-able dict: processor, flags, caches, affinity, governor, load, settings and versions."""
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "cpu": cpu(),
        "flags": _flags(),
        "caches_kib": caches_kib(),
        "cores": cores(),
        "affinity": affinity,
        "governor": _read(_CPU / "cpufreq" / "scaling_governor"),
        "memory_gib": _memory_gib(),
        "gpu": nvidia_gpu(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "python": platform.python_version(),
        "versions": {"rnnx": __version__, **versions(_PACKAGES)},
    }


def caches_kib() -> dict[str, int]:
    """Sizes of the data caches of the first core in KiB, by level: ``L1``, ``L2``, ``L3``; empty where not told."""
    found = {}
    for folder in sorted((_CPU / "cache").glob("index*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        if level and size and kind != "Instruction" and size[:-1].isdecimal():
            found[f"L{level}"] = int(size[:-1]) * (1024 if size.endswith("M") else 1)
    return found


def joules() -> float | None:
    """Energy that all processor packages have used since some moment, by RAPL; None where the machine does not tell."""
    total, told = 0, False
    # "intel-rapl:0" is a package (AMD's too); "intel-rapl:0:1" a part of it, counted already.
    for file in _ENERGY.glob("intel-rapl:?/energy_uj"):
        text = _read(file)
        if text and text.isdecimal():
            total, told = total + int(text), True
    return total / 1e6 if told else None


def preemptions() -> int | None:
    """How often the system has taken a core away from this process for another; None where it does not tell."""
    try:
        import resource  # noqa: PLC0415  (Windows has none)
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _flags() -> list[str]:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in {"flags", "features"}:
            there = set(value.split())
            return [flag for flag in _FLAGS if flag in there]
    return []


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
