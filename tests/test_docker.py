"""The files in docker/: no daemon is at hand where tests run, so what they name is held against the repository."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from rnnx.runtime.deploy.kserve import _USER

ROOT = Path(__file__).parents[1]
FILES = ("Dockerfile.cpu", "Dockerfile.gpu")


def instructions(name):
    """Each instruction and its arguments, continued lines joined, comments left out."""
    text = (ROOT / "docker" / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def named(name, instruction):
    return [arguments for key, arguments in instructions(name) if key == instruction]


def sent(path):
    """Whether .dockerignore lets a file of the repository through: the last pattern that fits decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if not line.strip() or line.startswith("#"):
            continue
        parts = Path(path).parts
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        # '**/x' is x in any folder; a pattern without it is a path from the root, and '*' stops at '/'.
        loose = pattern.startswith("**/")
        name = pattern.removeprefix("**/")
        fits = any(
            fnmatch(Path(head).name, name) if loose else head.count("/") == name.count("/") and fnmatch(head, name)
            for head in heads
        )
        if fits:
            kept = line.startswith("!")
    return kept


@pytest.mark.parametrize("name", FILES)
def test_extras_are_those_of_the_project(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = [found for run in named(name, "RUN") for found in re.findall(r"\$\{wheel\}\[([\w,]+)\]", run)]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert set(extras.split(",")) == {name.rpartition(".")[2], "serve", "grpc"}


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_or_mounted_is_there_and_sent(name):
    sources = [one for arguments in named(name, "COPY") for one in arguments.split()[:-1]]
    sources += [mount for run in named(name, "RUN") for mount in re.findall(r"--mount=type=bind,source=([^, ]+)", run)]
    assert sources == [".", "constraints.txt"]
    for one in sources:
        assert (ROOT / one).exists()
    assert sent("constraints.txt")
    stages = [arguments.split(" AS ")[1] for arguments in named(name, "FROM") if " AS " in arguments]
    assert stages == ["wheel"]
    assert all(f"from={stage}" in " ".join(named(name, "RUN")) for stage in stages)


def test_the_package_is_sent_and_nothing_else():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools, project = data["tool"]["setuptools"], data["project"]
    wanted = {"pyproject.toml", project["readme"], *project["license-files"]}
    for package in setuptools["packages"]:
        folder = ROOT.joinpath(*package.split(".")[1:])
        for pattern in ("*.py", *setuptools["package-data"].get(package, ())):
            wanted |= {path.relative_to(ROOT).as_posix() for path in folder.glob(pattern)}
    assert [one for one in sorted(wanted) if not sent(one)] == []
    for one in (
        ".git/config",
        "tests/conftest.py",
        ".venv/bin/python",
        "models/speaker/a.rnnx/golden.npz",
        "notes.txt",
    ):
        assert not sent(one), one
    assert not sent("runtime/__pycache__/session.cpython-311.pyc")


@pytest.mark.parametrize("name", FILES)
def test_the_server_is_process_one_and_nobody(name):
    (entry,) = named(name, "ENTRYPOINT")
    assert json.loads(entry) == ["rnnx", "serve", "--host", "0.0.0.0"]  # noqa: S104
    assert named(name, "USER") == [f"{_USER}:{_USER}"]
    order = [key for key, _ in instructions(name)]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert max(at for at, key in enumerate(order) if key == "RUN") < order.index("USER")
    assert any(f"--uid {_USER}" in run for run in named(name, "RUN"))


@pytest.mark.parametrize("name", FILES)
def test_the_health_check_is_a_program_that_compiles(name):
    (check,) = named(name, "HEALTHCHECK")
    command = json.loads(check.split(" CMD ", 1)[1] if " CMD " in check else check)
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/v2/health/ready" in command[2]


@pytest.mark.parametrize("name", FILES)
def test_images_have_a_version(name):
    for image in named(name, "FROM"):
        tag = image.split()[0].partition(":")[2]
        assert re.search(r"\d", tag), image
        assert tag != "latest"
