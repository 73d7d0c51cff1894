"""What this machine is: processor, GPU, installed distributions. Nothing here imports what it asks about."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What ``rnnx[export]`` brings, by distribution.
EXPORT = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "safetensors")


def version(distribution: str) -> str | None:
    """Version of an installed distribution, or None. It is not imported."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed, by distribution."""
    return {name: found for name in distributions if (found := version(name)) is not None}


def cpu() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nvidia_gpu() -> str | None:
    """Name and driver of the first NVIDIA GPU, or None where there is none."""
    command = shutil.which("nvidia-smi")
    if command:
        query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603  (fixed)
        except (OSError, subprocess.SubprocessError):
            pass  # installed, and sees no GPU
        else:
            name, _, driver = done.stdout.strip().partition("\n")[0].partition(", ")
            if name:
                return f"{name}, driver {driver}"
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return "an NVIDIA GPU (/dev/nvidia0)" if Path("/dev/nvidia0").exists() else None


def nvidia_gpus() -> tuple[str, ...]:
    """Name, compute capability and driver of every NVIDIA GPU; empty where there is none, or no ``nvidia-smi``."""
    command = shutil.which("nvidia-smi")
    if not command:
        return ()
    query = [command, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603  (fixed)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
