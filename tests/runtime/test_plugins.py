"""Plug-in providers: found, registered once, their devices picked, and every way in which that fails."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import rnnx
from rnnx.errors import InputError, ProviderError
from rnnx.runtime import plugins
from rnnx.runtime.choice import Obstacle
from rnnx.runtime.ort import import_ort
from rnnx.runtime.plugins import installed_plugins, is_plugin, open_plugin, plugin_devices


class Device:
    def __init__(self, name, kind):
        self.ep_name = name
        self.device = types.SimpleNamespace(type=f"OrtHardwareDeviceType.{kind}")

    def __repr__(self):
        return f"{self.ep_name} {self.device.type}"


class Options:
    def __init__(self):
        self.put = None

    def add_provider_for_devices(self, devices, options):
        self.put = devices, options

    def has_providers(self):
        return self.put is not None


class FakeOrt:
    """An ONNX Runtime whose plug-ins bring ``devices``."""

    __version__ = "9.9.9"

    def __init__(self, *devices, refuses=None, fails=None, uses=None):
        self.brings = [Device(*one) for one in devices]
        self.listed = [Device("CPUExecutionProvider", "CPU")]
        self.refuses, self.fails, self.uses = refuses, fails, uses
        self.registered = []

    def set_default_logger_severity(self, severity):
        pass

    def register_execution_provider_library(self, name, path):
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.registered.append(path)
        self.listed += self.brings

    def get_ep_devices(self):
        return list(self.listed)

    def InferenceSession(self, model, options, *, enable_fallback):  # noqa: N802
        assert enable_fallback == 0
        if self.fails:
            raise RuntimeError(self.fails)
        used = self.uses or [options.put[0][0].ep_name, "CPUExecutionProvider"]
        return types.SimpleNamespace(get_providers=lambda: used, disable_fallback=lambda: None)


@pytest.fixture
def library(tmp_path):
    (tmp_path / "libsome_ep.so").touch()
    return f"plugin:{tmp_path / 'libsome_ep.so'}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that brings a library."""
    (tmp_path / "libsome_ep.so").touch()
    module = types.ModuleType("onnxruntime_ep_some")
    module.get_library_path = lambda: str(tmp_path / "libsome_ep.so")
    module.get_ep_names = lambda: ["SomeExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_some", module)
    return module


def why(found):
    assert isinstance(found, Obstacle), found
    return f"{found.why}. {found.mend}"


def test_a_library_is_registered_once_and_used(library):
    ort = FakeOrt(("SomeExecutionProvider", "NPU"))
    options = Options()
    session = open_plugin(ort, b"model", library, options, {"level": 3})
    assert session.get_providers()[0] == "SomeExecutionProvider"
    assert options.put == ([ort.brings[0]], {"level": "3"}), "options are texts"
    plugin_devices(ort, library)
    assert ort.registered == [library.removeprefix("plugin:")]


def test_a_package_tells_its_library(package, tmp_path):
    for name in ("plugin:onnxruntime_ep_some", "plugin:onnxruntime-ep-some"):
        ort = FakeOrt(("SomeExecutionProvider", "GPU"))
        assert plugin_devices(ort, name) == ort.brings
        assert ort.registered == [str(tmp_path / "libsome_ep.so")]
    del package.get_ep_names
    package.get_ep_name = lambda: "SomeExecutionProvider"
    ort = FakeOrt(("SomeExecutionProvider", "GPU"))
    assert plugin_devices(ort, name) == ort.brings


def test_a_library_that_was_registered_before_is_found_by_its_packages_names(package):
    ort = FakeOrt(("SomeExecutionProvider", "GPU"))
    ort.register_execution_provider_library("mine", "elsewhere")
    ort.brings = []
    assert [one.ep_name for one in plugin_devices(ort, "plugin:onnxruntime_ep_some")] == ["SomeExecutionProvider"]


def test_devices_of_several_kinds_are_named(library):
    ort = FakeOrt(("SomeExecutionProvider", "CPU"), ("SomeExecutionProvider", "GPU"), ("SomeExecutionProvider", "GPU"))
    assert plugin_devices(ort, f"{library}@gpu") == ort.brings[1:]
    told = why(plugin_devices(ort, library))
    assert told.startswith(
        "it has several kinds of devices; there are 'cpu' of 'SomeExecutionProvider', 'gpu' of 'Some"
    )
    assert told.endswith(f"Name one: '{library}@cpu'")
    assert "it has no device 'npu'; there are 'cpu' of" in why(plugin_devices(ort, f"{library}@npu"))
    two = FakeOrt(("AExecutionProvider", "CPU"), ("BExecutionProvider", "CPU"))
    assert plugin_devices(two, f"{library}@BExecutionProvider") == two.brings[1:]
    assert "several kinds" in why(plugin_devices(two, f"{library}@cpu"))


def test_no_device(library, package):
    assert "'libsome_ep.so' loads and finds no device here that it can use" in why(plugin_devices(FakeOrt(), library))
    found = plugin_devices(FakeOrt(), "plugin:onnxruntime_ep_some")
    assert why(found).startswith("'SomeExecutionProvider' loads and finds no device here")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Failed to get symbol CreateEpFactories with error: x",
            "is no plug-in of ONNX Runtime: it has no 'CreateEpFac",
        ),
        (
            "API version 99 is not known\nmore",
            "onnxruntime 9.9.9 does not take 'libsome_ep.so' (API version 99 is not kn",
        ),
    ],
)
def test_a_library_that_is_refused(library, said, message):
    assert message in why(plugin_devices(FakeOrt(refuses=said), library))


def test_a_session_that_fails_or_lies(library):
    device = ("SomeExecutionProvider", "GPU")
    found = open_plugin(FakeOrt(device, fails="no memory\nat x"), b"", library, Options(), {})
    assert why(found) == "'SomeExecutionProvider' could not start (no memory). Run 'rnnx doctor'"
    found = open_plugin(FakeOrt(device, uses=["CPUExecutionProvider"]), b"", library, Options(), {})
    assert "gave a session on CPUExecutionProvider instead of 'SomeExecutionProvider'" in why(found)


def test_an_onnx_runtime_without_plugins(library):
    old = types.SimpleNamespace(__version__="1.20.0")
    assert "onnxruntime 1.20.0 takes no plug-in libraries" in why(plugin_devices(old, library))


def test_packages_that_bring_nothing(monkeypatch):
    def asked(name, **attributes):
        module = types.ModuleType("onnxruntime_ep_bad")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, "onnxruntime_ep_bad", module)
        return why(plugin_devices(FakeOrt(), name))

    def gone():
        raise FileNotFoundError("libx.so")

    assert "there is no package 'onnxruntime_ep_none'. Run: pip install onnxruntime-ep-none" in asked(
        "plugin:onnxruntime_ep_none"
    )
    bad = "plugin:onnxruntime_ep_bad"
    assert "the package 'onnxruntime_ep_bad' is no plug-in of ONNX Runtime" in asked(bad)
    assert "the package 'onnxruntime_ep_bad' lacks what it needs (libx.so)" in asked(bad, get_library_path=gone)


def test_which_are_installed(monkeypatch):
    def one(name):
        return types.SimpleNamespace(metadata={"Name": name})

    names = ["numpy", "onnxruntime-ep-openvino", "onnxruntime_ep_WebGPU", "onnxruntime"]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: map(one, names))
    assert installed_plugins() == ["plugin:onnxruntime_ep_openvino", "plugin:onnxruntime_ep_webgpu"]
    assert is_plugin("plugin:x")
    assert not is_plugin("plugin:")
    assert not is_plugin("cpu")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: path / "none.so",
            "there is no library '.*none.so'. Give the path of one, or pass --provider cpu",
        ),
        (lambda path: path, "there is no library"),
        (
            lambda _: Path(np._core._multiarray_umath.__file__),
            "'.*multiarray_umath.*' is no plug-in of ONNX Runtime: it has no 'CreateEpFactories'",
        ),
    ],
    ids=["missing", "folder", "another library"],
)
def test_the_installed_onnx_runtime_refuses(make, message, lstm, tmp_path):
    with pytest.raises(ProviderError, match=message):
        rnnx.load(lstm, provider=f"plugin:{make(tmp_path)}")


def test_the_installed_onnx_runtimes_own_devices(lstm, package, monkeypatch, weights):
    """The real path to a session, with the CPU's own device in the place of a plug-in's."""
    ort = import_ort()
    key = (id(ort), package.get_library_path())
    monkeypatch.setitem(plugins._Registry.names, key, (ort, frozenset({"CPUExecutionProvider"})))
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    with rnnx.load(lstm, provider="plugin:onnxruntime_ep_some", threads=1) as session:
        assert session.provider == "plugin:onnxruntime_ep_some"
        np.testing.assert_allclose(session.run({"features": x})["y"], weights.run(x)["y"], rtol=0, atol=1e-5)
        placed = session.placement()
        assert placed.wanted == "CPUExecutionProvider"
        assert "LSTM" in {one.operator for one in placed.nodes}
    used = ort.SessionOptions()
    used.add_provider_for_devices(list(ort.get_ep_devices())[:1], {})
    with pytest.raises(InputError, match="session_options have a provider already"):
        rnnx.load(lstm, provider="plugin:onnxruntime_ep_some", session_options=used)


def test_the_message_of_load(lstm):
    message = (
        "provider 'plugin:onnxruntime_ep_none' is not usable here: there is no package 'onnxruntime_ep_none'. Run: pip"
    )
    with pytest.raises(ProviderError, match=re.escape(message)):
        rnnx.load(lstm, provider="plugin:onnxruntime_ep_none")
