"""What `onnxruntime-gpu` does on a machine without an NVIDIA GPU, in an environment of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnx
from rnnx.runtime import machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(machine.nvidia_gpu() is not None, reason="shows what a machine without an NVIDIA GPU is told"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="onnxruntime-gpu's libraries are named as on Linux"
    ),
]

CUBLAS = r"libcublasLt\.so\.\d+"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Runs a program of an environment that holds NumPy, click, rnnx and onnxruntime-gpu without its CUDA extras."""
    root = Path(rnnx.__file__).parent
    path = tmp_path_factory.mktemp("gpu") / "venv"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ORT_", "VIRTUAL_ENV"))}

    def run(program, *arguments, code=0):
        command = [path / "bin" / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path, env=kept)
        assert done.returncode == code, f"{done.args} gave {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    pinned = ["--constraint", root / "constraints.txt"]
    run("python", "-m", "pip", "install", "--quiet", *pinned, "numpy", "click", "onnxruntime-gpu", "setuptools")
    # A wheel from a copy, for building in the checkout would leave a folder in it.
    source = path / "rnnx-source"
    ignored = {".git", ".venv", "build", "dist", "tests", "shared"}
    names = [one for one in root.iterdir() if one.name not in ignored and not one.name.endswith(".egg-info")]
    source.mkdir()
    for one in names:
        (source / one.name).symlink_to(one)
    run("python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", source)
    return run


@pytest.fixture
def given(lstm, tmp_path):
    """Arguments of `rnnx run`."""
    np.save(tmp_path / "x.npy", np.ones((1, 3, 3), np.float32))
    return ["run", lstm, "--input", f"features={tmp_path / 'x.npy'}", "--output-dir", tmp_path / "out"]


def test_cuda_by_name_is_one_clear_error(environment, given, tmp_path):
    done = environment("rnnx", *given, "--provider", "cuda", code=1)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        rf"Error: provider 'cuda' is not usable here: .*{CUBLAS}.* missing\. Install .*, or pass --provider cpu\.", line
    )
    assert not (tmp_path / "out").exists()


def test_auto_takes_the_cpu_and_says_why(environment, given, weights, tmp_path):
    done = environment("rnnx", *given, "--provider", "auto")
    assert done.stderr == "", "ONNX Runtime writes nothing to the terminal"
    assert re.search(rf"^provider: cpu \(auto; not cuda: .*{CUBLAS}", done.stdout, re.MULTILINE)
    expected = weights.run(np.ones((1, 3, 3), np.float32))["y"]
    np.testing.assert_allclose(np.load(tmp_path / "out" / "y.npy"), expected, rtol=0, atol=1e-6)
    report = json.loads(environment("rnnx", *given, "--json").stdout)
    assert report["provider"]["name"] == "cpu"
    assert re.search(CUBLAS, report["provider"]["reasons"]["cuda"])


def test_the_doctor_names_every_missing_library(environment):
    done = environment("rnnx", "doctor")
    assert done.stderr == ""
    assert re.search(rf"^cuda: .*{CUBLAS}", done.stdout, re.MULTILINE)
    assert "mend: pip install 'rnnx[gpu]'" in done.stdout
    found = json.loads(environment("rnnx", "doctor", "--json").stdout)
    providers = {one["name"]: one for one in found["providers"]}
    assert [providers[name]["works"] for name in ("cpu", "cuda", "tensorrt")] == [True, False, False]
    for name, libraries in {"cuda": {"libcublasLt", "libcublas"}, "tensorrt": {"libnvinfer", "libcudnn"}}.items():
        assert libraries <= {one.partition(".so")[0] for one in providers[name]["missing"]}
    assert set(found["onnxruntime"]) == {"onnxruntime-gpu"}
    (finding,) = found["findings"]
    assert finding["mend"] == "pip uninstall -y onnxruntime-gpu && pip install 'rnnx[cpu]'"
    assert found["healthy"] is True
