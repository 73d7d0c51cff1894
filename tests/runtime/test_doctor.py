"""What the doctor tells, on healthy and on broken machines."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnx.errors import MissingExtraError
from rnnx.runtime import doctor, machine, probe
from rnnx.runtime.doctor import diagnose
from rnnx.runtime.providers import PROVIDERS, Obstacle

PLUGIN = "plugin:onnxruntime_ep_some"


class FakeOrt:
    """As much of ONNX Runtime as the doctor touches itself."""

    def SessionOptions(self):  # noqa: N802
        return type("Options", (), {"log_severity_level": 2})()


class FakeSession:
    """A session with a given answer."""

    def __init__(self, answer):
        self.answer = answer

    def run(self, names, feed):
        return [self.answer]


@pytest.fixture
def healthy_machine(monkeypatch):
    """One distribution, no GPU, and every provider right unless `found` says otherwise."""
    names = [*PROVIDERS, "openvino", PLUGIN]
    found = dict.fromkeys(names, FakeSession(probe.reference().astype(np.float32)))
    monkeypatch.setattr(doctor, "distributions", lambda: {"onnxruntime": "9.9.9"})
    monkeypatch.setattr(doctor, "import_ort", FakeOrt)
    monkeypatch.setattr(doctor, "installed_plugins", lambda: [PLUGIN])
    monkeypatch.setattr(machine, "nvidia_gpu", lambda: None)

    def attempt(ort, model, name, options, given):
        assert options.log_severity_level == 4
        if isinstance(found[name], Exception):
            raise found[name]
        return found[name]

    monkeypatch.setattr(doctor, "attempt", attempt)
    return found


MISSING = Obstacle(why="libx.so.1 is missing", mend="Install it", command="pip install it", missing=("libx.so.1",))


def test_the_probe_is_what_its_script_writes():
    spec = importlib.util.spec_from_file_location("make_probe", Path(__file__).with_name("make_probe.py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.probe_bytes() == probe.model()


def test_the_probes_reference_is_torchs():
    import torch

    w, r, b = (torch.from_numpy(one[0]) for one in probe.weights())
    i, o, f, c = (slice(one * probe.HIDDEN, (one + 1) * probe.HIDDEN) for one in range(4))
    order = torch.cat([torch.arange(4 * probe.HIDDEN)[one] for one in (i, f, c, o)])
    lstm = torch.nn.LSTM(probe.FEATURES, probe.HIDDEN)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(w[order])
        lstm.weight_hh_l0.copy_(r[order])
        lstm.bias_ih_l0.copy_(b[: 4 * probe.HIDDEN][order])
        lstm.bias_hh_l0.copy_(b[4 * probe.HIDDEN :][order])
        expected = lstm(torch.from_numpy(probe._input()))[0].numpy()
    np.testing.assert_allclose(probe.reference()[:, 0], expected, rtol=0, atol=1e-6)


def test_this_machine():
    found = diagnose()
    cpu = next(one for one in found.providers if one.name == "cpu")
    assert cpu.works
    assert cpu.max_abs_diff < 1e-5
    assert found.cores >= 1
    assert found.cpu
    assert found.numpy == np.__version__
    assert found.telemetry
    assert found.export["torch"]
    for one in found.providers:
        assert one.works or (one.why and one.mend)
    json.dumps(found.to_json(), allow_nan=False)


def test_all_works(healthy_machine):
    found = diagnose()
    assert [one.name for one in found.providers] == ["cpu", "cuda", "tensorrt", "openvino", PLUGIN]
    assert all(one.works for one in found.providers)
    assert found.findings == ()
    assert found.healthy
    assert found.to_json()["healthy"] is True


def test_a_provider_that_lacks_a_library(healthy_machine):
    healthy_machine["cuda"] = MISSING
    found = diagnose()
    cuda = found.providers[1]
    assert (cuda.works, cuda.why, cuda.mend) == (False, "libx.so.1 is missing", "pip install it")
    assert cuda.missing == ("libx.so.1",)
    assert found.healthy, "the CPU works, and nobody has a GPU here"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (probe.reference() + 0.5, "a tiny LSTM is 5.0e-01 off; 1e-05 is allowed"),
        (probe.reference() * np.nan, "a tiny LSTM is nan off; 1e-05 is allowed"),
        (RuntimeError("no kernel"), "a tiny LSTM failed: no kernel"),
    ],
    ids=["wrong", "nan", "raises"],
)
def test_a_provider_that_computes_wrongly_is_broken(healthy_machine, answer, why):
    healthy_machine["cpu"] = answer if isinstance(answer, Exception) else FakeSession(answer)
    found = diagnose()
    assert not found.providers[0].works
    (finding,) = found.findings
    assert finding.what == f"cpu: {why}"
    assert finding.mend == "pip install --force-reinstall onnxruntime"
    assert finding.broken
    assert not found.healthy


def test_two_distributions_are_broken(healthy_machine, monkeypatch):
    monkeypatch.setattr(doctor, "distributions", lambda: {"onnxruntime": "1", "onnxruntime-gpu": "2"})
    found = diagnose()
    (finding,) = found.findings
    assert finding.what == "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files"
    assert finding.mend == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'rnnx[gpu]'"
    assert finding.broken
    assert not found.healthy


@pytest.mark.parametrize(
    ("gpu", "distribution", "what", "mend", "healthy"),
    [
        (
            "H1",
            "onnxruntime",
            "H1 is not used: onnxruntime is the distribution for CPUs",
            "pip uninstall -y onnxruntime && pip install 'rnnx[gpu]'",
            True,
        ),
        ("H1", "onnxruntime-gpu", "H1 cannot be used: libx.so.1 is missing", "pip install 'rnnx[gpu]'", False),
        (
            None,
            "onnxruntime-gpu",
            "onnxruntime-gpu is installed and there is no NVIDIA GPU; the CPU is used",
            "pip uninstall -y onnxruntime-gpu && pip install 'rnnx[cpu]'",
            True,
        ),
    ],
)
def test_whether_the_distribution_fits_the_machine(  # noqa: PLR0917  (pytest passes them by name)
    healthy_machine, monkeypatch, gpu, distribution, what, mend, healthy
):
    healthy_machine["cuda"] = MISSING
    monkeypatch.setattr(machine, "nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(doctor, "distributions", lambda: {distribution: "9.9.9"})
    found = diagnose()
    (finding,) = found.findings
    assert (finding.what, finding.mend, finding.broken) == (what, mend, not healthy)
    assert found.healthy is healthy


@pytest.mark.parametrize(("gpu", "extra"), [(None, "cpu"), ("H1", "gpu")])
def test_nothing_installed(healthy_machine, monkeypatch, gpu, extra):
    def absent():
        raise MissingExtraError("ONNX Runtime is not installed. Run: pip install 'rnnx[cpu]' (or ...)")

    monkeypatch.setattr(doctor, "import_ort", absent)
    monkeypatch.setattr(doctor, "distributions", dict)
    monkeypatch.setattr(machine, "nvidia_gpu", lambda: gpu)
    found = diagnose()
    assert not any(one.works for one in found.providers)
    (finding,) = found.findings
    assert (finding.what, finding.mend) == ("ONNX Runtime is not installed", f"pip install 'rnnx[{extra}]'")
    assert not found.healthy


def test_the_doctor_imports_nothing_that_exports():
    code = "import sys\nimport rnnx.runtime\nrnnx.runtime.diagnose()\nprint({'torch', 'onnx'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_nvidia_smi_is_asked(monkeypatch, tmp_path):
    fake = tmp_path / "nvidia-smi"
    fake.write_text('#!/bin/sh\necho "NVIDIA H1, 580.65"\necho "NVIDIA H2, 580.65"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert machine.nvidia_gpu() == "NVIDIA H1, driver 580.65"


def test_versions_without_importing():
    assert machine.version("numpy") == np.__version__
    assert machine.version("surely-not-installed") is None
