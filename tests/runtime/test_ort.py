"""Importing ONNX Runtime: telemetry first, and errors that name what to install."""

import importlib.metadata
import os
import re
import subprocess
import sys
import types

import pytest

from rnnx.errors import MissingExtraError
from rnnx.runtime import ort

SPY = """
import os, sys
import rnnx.runtime.ort as room
from rnnx.runtime import probe, providers

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("at import:", os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Finder())
assert "onnxruntime" not in sys.modules
ort = room.import_ort()
print("telemetry:", room.telemetry())
session, _ = providers.open_session(ort, probe.model(), provider="cpu", options=ort.SessionOptions())
print("right:", probe.max_abs_diff(session) < 1e-5)
"""


@pytest.mark.parametrize("before", [None, "0", "1"])
def test_telemetry_is_off_before_the_import(before, tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    environment = {key: value for key, value in os.environ.items() if key != ort.TELEMETRY_VARIABLE} | home
    if before is not None:
        environment[ort.TELEMETRY_VARIABLE] = before
    done = subprocess.run(
        [sys.executable, "-c", SPY], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["at import: 1", "telemetry: off", "right: True"]
    # Without the variable, a session of ONNX Runtime 1.32 leaves Microsoft/DeveloperTools/.onnxruntime here.
    assert list(tmp_path.rglob("*")) == [], "nothing is written into the user's home"


def test_an_import_before_ours_is_told(monkeypatch):
    monkeypatch.delenv(ort.TELEMETRY_VARIABLE, raising=False)
    monkeypatch.setattr(ort._State, "imported_before", False)
    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=None))
    ort.import_ort()
    assert ort.telemetry() == "not known: onnxruntime was imported before rnnx"
    assert os.environ[ort.TELEMETRY_VARIABLE] == "1"


@pytest.fixture
def installed(monkeypatch):
    """Sets which distributions seem to be installed."""
    versions = {}

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return versions


def fails(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    with pytest.raises(MissingExtraError) as caught:
        ort.import_ort()
    assert isinstance(caught.value, ImportError)
    return str(caught.value)


def test_not_installed(monkeypatch, installed):
    message = fails(monkeypatch, None)
    assert message.startswith("ONNX Runtime is not installed. Run: pip install 'rnnx[cpu]' (or 'rnnx[gpu]' on")


def test_installed_and_broken(monkeypatch, installed):
    installed["onnxruntime"] = "1.2.3"
    message = fails(monkeypatch, None)
    assert re.match(r"ONNX Runtime \(onnxruntime 1.2.3\) is installed but cannot be imported: .*onnxruntime", message)
    assert message.endswith("Run: pip install --force-reinstall onnxruntime")
    # What is left of the folder after one of two distributions was uninstalled.
    message = fails(monkeypatch, types.ModuleType("onnxruntime"))
    assert "is installed but cannot be imported: its files are gone. Run: pip install --force" in message


def test_two_distributions(monkeypatch, installed):
    installed |= {"onnxruntime": "1.2.3", "onnxruntime-gpu": "1.2.2"}
    assert ort.distributions() == installed
    mend = "Run: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'rnnx[gpu]'"
    both = f"'onnxruntime' and 'onnxruntime-gpu' are both installed and overwrite each other. {mend}"
    assert ort.clash() == both
    assert fails(monkeypatch, None) == f"ONNX Runtime cannot be imported: {both}"
    del installed["onnxruntime"]
    assert ort.clash() == ""
