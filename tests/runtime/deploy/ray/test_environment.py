"""Ray in an environment of its own, in which the tests of this folder run: it is too heavy for everybody's.

The environment's python is named by ``RNNX_RAY_PYTHON``, or made from PyPI. It needs what the extra ``ray`` brings,
ONNX Runtime, and for the tests pytest, httpx and onnx.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnnx

VARIABLE = "RNNX_RAY_PYTHON"
HERE = Path(__file__).parent
ROOT = HERE.parents[3]


def check(python, tmp_path):
    # The package's folder may have any name; Ray's workers find rnnx as this process does.
    (tmp_path / "rnnx").symlink_to(Path(rnnx.__file__).parent, target_is_directory=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    command = [python, "-m", "pytest", HERE, f"--confcutdir={HERE}", f"--rootdir={HERE}", "--import-mode=importlib"]
    command += ["-o", "addopts=", "-o", "markers=slow: takes many seconds", "-p", "no:cacheprovider", "-q", "-ra"]
    command += [f"--ignore={HERE / 'test_environment.py'}", f"--basetemp={tmp_path / 'tests'}"]
    environment = kept | {"PYTHONPATH": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout.splitlines()[-1]), done.stdout
    assert "skipped" not in done.stdout, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no python that has Ray")
def test_with_the_ray_that_is_there(tmp_path):
    check(os.environ[VARIABLE], tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE in os.environ, reason="the environment is there already")
def test_with_the_ray_from_pypi(tmp_path):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    base = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    install += [*base, *extras["cpu"], *extras["ray"], "pytest", "httpx", "onnx"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(python, tmp_path)
