"""The package as a user gets it: what is in the wheel, what it needs, and that it runs where torch is not."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rnnx

ROOT = Path(__file__).parents[1]
#: Folders and files that are no part of the package, or that building and testing leave behind.
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "*.rnnx")
ATOL = 1e-5
EXTRAS = ["base", "cpu", "gpu", "openvino", "export", "serve", "grpc", "otel", "ray", "image", "zoo", "dev"]

RUN = """
import importlib.util, sys
import numpy as np
import rnnx
from rnnx.models.ragged import pad
from rnnx.models.speaker import data

bundle, out = sys.argv[1:]
utterances = data.load("test").utterances[:5]
features, lengths = pad(utterances)
with rnnx.load(bundle, provider="cpu") as session:
    outputs = session.run({"features": features}, lengths=lengths.tolist())
    alone = session.run({"features": utterances[0][np.newaxis]}, lengths=[len(utterances[0])])
(name,) = outputs
np.savez(out, batch=outputs[name], alone=alone[name])
print(importlib.util.find_spec("torch"), {"torch", "onnx"} & set(sys.modules), rnnx.__file__)
"""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    """The constraints, canonical name to version."""
    lines = [
        line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    ]
    matches = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line]
    assert all(matches), "constraints.txt takes only exact pins, NAME==VERSION"
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def packages() -> list[str]:
    """Every folder of the package that holds an `__init__.py`, as a dotted name."""
    folders = [path.parent.relative_to(ROOT) for path in ROOT.rglob("__init__.py")]
    inside = [
        one for one in folders if not {"tests", "build", "dist"} & set(one.parts[:1]) and not str(one).startswith(".")
    ]
    return sorted(".".join(("rnnx", *one.parts)) for one in (*inside, Path()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """A virtual environment with nothing but what a test put there."""

    path: Path

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, away from the checkout and from this process's settings."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ORT_", "VIRTUAL_ENV"))
        }
        program, *arguments = (str(one) for one in command)
        done = subprocess.run(
            [self.path / "bin" / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.path,
            env=kept,
        )
        assert done.returncode == 0 or not check, f"{command} gave {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, *requirements: str) -> None:
        self.run("python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", *requirements)

    def installed(self) -> set[str]:
        code = "import importlib.metadata as m; print(*{one.name for one in m.distributions()})"
        return {canonicalize_name(name) for name in self.run("python", "-c", code).stdout.split()}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built as a release is: sources, then the wheel from those alone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, folder / "any-name", ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory):
    """Make environments: `make_environment(requirement, ...)`."""

    def make(*requirements: str) -> Environment:
        environment = Environment(path=tmp_path_factory.mktemp("environment") / "venv")
        subprocess.run([sys.executable, "-m", "venv", environment.path], check=True)
        environment.install(*requirements)
        return environment

    return make


@pytest.fixture(scope="session")
def bare(make_environment, wheel) -> Environment:
    """rnnx without any extra: no ONNX Runtime."""
    return make_environment(str(wheel))


@pytest.fixture(scope="session")
def speaker(tmp_path_factory) -> Path:
    """The speaker model, exported."""
    from rnnx.models.speaker import model

    path = tmp_path_factory.mktemp("bundles") / "speaker.rnnx"
    rnnx.exporters.export(model.load(), inputs={"features": "float32[batch, time, 12]"}, lengths="lengths", out=path)
    return path


def test_every_package_is_listed():
    assert sorted(project()["tool"]["setuptools"]["packages"]) == packages()


def test_tests_are_no_package():
    # With an __init__.py, pytest would take the checkout's own name for the package's.
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_version_is_the_installed_one():
    assert importlib.metadata.version("rnnx") == rnnx.__version__


@pytest.mark.parametrize("extra", EXTRAS)
def test_constraints_pin_every_requirement_within_its_range(extra):
    read, pinned = project()["project"], pins()
    lines = read["dependencies"] if extra == "base" else read["optional-dependencies"][extra]
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"'{name}' is not in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"'{name}=={pinned[name]}' is outside of '{line}'"


def test_constraints_pin_what_the_requirements_require():
    waiting = [
        ("rnnx", extra) for extra in ("cpu", "openvino", "export", "serve", "grpc", "otel", "image", "zoo", "dev")
    ]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                inner = canonicalize_name(requirement.name)
                waiting += [(inner, one) for one in requirement.extras or {""}]
    # Where torch comes with CUDA, it names the exact version of each of these itself.
    cuda = re.compile(r"(nvidia|cuda)-.*|triton")
    assert {name for name, _ in seen if not cuda.fullmatch(name)} - {"rnnx"} <= pins().keys()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_which_python_it_needs(tmp_path):
    old = tmp_path / "python2.7"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 2.7.18\nexit 1\n')
    old.chmod(0o755)
    for python, message in (
        (old, "is Python 2.7.18; rnnx needs Python >= 3.11"),
        ("/not/there", "'/not/there' is not there"),
    ):
        command = ["make", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", "demo"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr
    assert not (tmp_path / "venv").exists()


def test_import_without_onnxruntime_names_the_extra():
    hidden = "import sys\nsys.modules['onnxruntime'] = None\n"
    tried = "try:\n    import rnnx\nexcept ImportError as error:\n    print(type(error).__name__, error)\n"
    done = subprocess.run([sys.executable, "-c", hidden + tried], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"MissingExtraError .*pip install 'rnnx\[cpu\]'", done.stdout)


@pytest.mark.slow
class TestWheel:
    """Built, installed and used away from the checkout."""

    def test_holds_the_package_and_nothing_else(self, wheel):
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.partition("/")[0] for name in names} == {"rnnx", f"rnnx-{rnnx.__version__}.dist-info"}
        data = project()["tool"]["setuptools"]["package-data"]
        expected = set()
        for package in packages():
            folder = ROOT.joinpath(*package.split(".")[1:])
            for pattern in ("*.py", *data.get(package, ())):
                expected |= {path.relative_to(ROOT).as_posix() for path in folder.glob(pattern)}
        held = {name.removeprefix("rnnx/") for name in names if name.startswith("rnnx/")}
        assert held == expected
        speaker = {"models/speaker/japanese_vowels.npz", "models/speaker/speaker.safetensors"}
        assert held >= {"py.typed", "bundle.schema.json", "runtime/probe_lstm.onnx", *speaker}

    def test_brings_its_licence_and_its_command(self, wheel):
        archive = zipfile.ZipFile(wheel)
        about = f"rnnx-{rnnx.__version__}.dist-info"
        assert b"Apache License" in archive.read(f"{about}/licenses/LICENSE")
        assert "License-Expression: Apache-2.0" in archive.read(f"{about}/METADATA").decode()
        assert "rnnx = rnnx.cli.main:main" in archive.read(f"{about}/entry_points.txt").decode()

    def test_without_extras_installs_only_click_and_numpy(self, bare):
        assert bare.installed() - {"pip", "setuptools"} == {"rnnx", "click", "numpy"}

    def test_without_onnxruntime_the_import_names_the_extra(self, bare):
        done = bare.run("python", "-c", "import rnnx", check=False)
        assert done.returncode == 1
        assert re.search(r"MissingExtraError: .*pip install 'rnnx\[cpu\]'", done.stderr)

    @pytest.mark.parametrize("command", [("rnnx",), ("python", "-m", "rnnx")], ids=" ".join)
    def test_without_onnxruntime_the_doctor_names_the_extra(self, bare, command):
        done = bare.run(*command, "doctor", check=False)
        assert "Traceback" not in done.stderr
        assert "rnnx[cpu]" in done.stdout

    def test_runs_a_bundle_without_torch(self, make_environment, wheel, speaker, tmp_path):
        import torch

        from rnnx.models.ragged import pad
        from rnnx.models.speaker import data, model

        environment = make_environment(f"{wheel}[cpu]")
        assert not environment.installed() & {"torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "safetensors"}
        done = environment.run("python", "-c", RUN, speaker, tmp_path / "out.npz")
        assert done.stdout.startswith("None set() ")
        assert str(environment.path) in done.stdout
        with np.load(tmp_path / "out.npz") as out, torch.no_grad():
            features, lengths = pad(data.load("test").utterances[:5])
            expected = model.load()(torch.from_numpy(features), torch.from_numpy(lengths)).numpy()
            np.testing.assert_allclose(out["batch"], expected, rtol=0, atol=ATOL)
            np.testing.assert_allclose(out["alone"], expected[:1], rtol=0, atol=ATOL)
        assert "passed" in environment.run("rnnx", "verify", speaker).stdout
