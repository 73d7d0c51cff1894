"""Imports run one way: cli, benchmarks, models, exporters, runtime, bundle, manifest, signature, errors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
GENERATED = re.compile(r"_pb2(_grpc)?\.py$")

EXPORT = {"onnx", "onnx_ir", "onnxscript", "onnxsim"}
SERVE = {"starlette", "uvicorn", "uvloop", "websockets", "orjson", "prometheus_client"}
GRPC = {"grpc", "grpc_health", "grpc_reflection", "google"}

#: Rooms in a room: what needs a server's packages, or Ray's, stands below them, and nothing above imports it.
SERVING = "runtime/serving"
RAY = "runtime/deploy/ray"

#: For each room (a folder or a module at the root): the rooms and the foreign packages that it may import. Every room
#: may import the root itself, which is light (`from .. import __version__`).
ROOMS: dict[str, set[str]] = {
    "atomic": set(),
    "errors": set(),
    "signature": {"errors"},
    "precision": set(),
    "tuned": {"errors"},
    "manifest": {"errors", "precision", "signature", "tuned"},
    "bundle": {"atomic", "errors", "signature", "tuned", "manifest"},
    "__init__": {"errors"},
    "runtime": {"atomic", "errors", "signature", "tuned", "manifest", "bundle"},
    SERVING: {"errors", "signature", "tuned", "manifest", "bundle", "runtime"},
    RAY: {"atomic", "errors", "signature", "bundle", "runtime", SERVING},
    "exporters": {"atomic", "errors", "precision", "signature", "manifest", "bundle", "runtime"},
    "models": {"atomic", "errors", "signature", "manifest", "bundle", "runtime", "exporters"},
    "benchmarks": {
        "atomic",
        "errors",
        "signature",
        "tuned",
        "manifest",
        "bundle",
        "runtime",
        SERVING,
        "exporters",
        "models",
    },
    "cli": {
        "errors",
        "signature",
        "tuned",
        "manifest",
        "bundle",
        "runtime",
        SERVING,
        RAY,
        "exporters",
        "models",
        "benchmarks",
    },
    "__main__": {"cli"},
}
FOREIGN: dict[str, set[str]] = {
    "atomic": set(),
    "errors": set(),
    "signature": set(),
    "precision": set(),
    "tuned": set(),
    "manifest": set(),
    "bundle": {"numpy"},
    "__init__": set(),
    "runtime": {"numpy", "onnxruntime", "openvino", "PIL"},
    SERVING: {"numpy", "opentelemetry", *SERVE, *GRPC},
    RAY: {"numpy", "pyarrow", "ray"},
    "exporters": {"numpy", "onnxruntime", "torch", "sympy", "safetensors", *EXPORT},
    "models": {"numpy", "torch", "safetensors", "click", "PIL", "matplotlib"},
    "benchmarks": {"numpy", "torch", "onnxruntime", "click", "grpc", "uvloop", "websockets"},
    "cli": {"numpy", "click"},
    "__main__": set(),
}
#: What a command may import only when it runs.
LATE = {"exporters", "models", "benchmarks", "runtime", SERVING, RAY}
#: The distribution of a module of another name, or, for `sympy`, the one that brings it into our hands.
BROUGHT = {
    "sympy": "torch",
    "PIL": "pillow",
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "opentelemetry": "opentelemetry-api",
    "pyarrow": "ray",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One imported module.

    Attributes:
        target: a room, or a foreign package.
        own: whether it is a room.
        late: whether it stands in a function.
        checked_only: whether it stands under ``if TYPE_CHECKING``, and so never runs.
        line: its line, from 1.
    """

    target: str
    own: bool
    late: bool
    checked_only: bool
    line: int


def room_of(module: tuple[str, ...]) -> str:
    """`("runtime", "session")` -> `runtime`; the root itself is `__init__`."""
    for room in (SERVING, RAY):
        if "/".join(module).startswith(f"{room}/") or "/".join(module) == room:
            return room
    return module[0] if module else "__init__"


def imports_of(source: str, path: Path) -> list[Import]:
    """Every import of a module, resolved; the standard library left out."""
    package = path.parent.parts  # relative to the root: () for a module at the root
    found = []

    def visit(node: ast.AST, *, late: bool, checked_only: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for child in node.body:
                visit(child, late=late, checked_only=True)
            for child in node.orelse:
                visit(child, late=late, checked_only=checked_only)
            return
        for target, own in _targets(node, package):
            found.append(Import(target=target, own=own, late=late, checked_only=checked_only, line=node.lineno))
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, late=late or in_function, checked_only=checked_only)

    visit(ast.parse(source), late=False, checked_only=False)
    return [one for one in found if one.own or one.target not in sys.stdlib_module_names]


def _targets(node: ast.AST, package: tuple[str, ...]) -> list[tuple[str, bool]]:
    if isinstance(node, ast.ImportFrom):
        if node.level == 0:
            return _absolute((node.module or "").split("."))
        start = package[: len(package) - (node.level - 1)]
        module = (*start, *(node.module or "").split(".")) if node.module else start
        if module:
            # `from .serving import x`, and `from . import serving`
            return [(room_of((*module, name.name)), True) for name in node.names]
        # `from .. import errors, __version__`: a room, or a name of the root's own
        return [(name.name if name.name in ROOMS else "__init__", True) for name in node.names]
    if isinstance(node, ast.Import):
        return [one for name in node.names for one in _absolute(name.name.split("."))]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {
        "importlib.import_module",
        "import_module",
        "__import__",
    }:
        # A literal name is an import like any other; a computed one is for the subprocess tests below.
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("."):
            return _absolute(name.value.split("."))
    return []


def _absolute(parts: list[str]) -> list[tuple[str, bool]]:
    return [(room_of(tuple(parts[1:])), True)] if parts[0] == "rnnx" else [(parts[0], False)]


def modules() -> list[Path]:
    """Every module of the package, relative to the root."""
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.py")]
    return sorted(
        path
        for path in found
        if path.parts[0] not in {"tests", "build", "dist"} and not any(part.startswith(".") for part in path.parts)
    )


def violations(source: str, path: Path) -> list[str]:
    """What a module imports and must not, one line each."""
    room = room_of((*path.parts[:-1], path.stem))
    wrong = []
    for one in imports_of(source, path):
        allowed = ROOMS[room] | {room, "__init__"} if one.own else FOREIGN[room]
        # The light face names its lazy members for type checkers.
        if one.target not in allowed and not (room == "__init__" and one.checked_only):
            wrong.append(f"{path}:{one.line}: '{room}' must not import '{one.target}'")
        elif room == "cli" and one.target in LATE and not one.late and not one.checked_only:
            wrong.append(f"{path}:{one.line}: a command imports '{one.target}' when it runs, not before")
    return wrong


def test_every_room_has_its_rules():
    rooms = {room_of((*path.parts[:-1], path.stem)) for path in modules()}
    assert rooms <= ROOMS.keys(), "a new room: say in ROOMS and FOREIGN what it may import"
    assert ROOMS.keys() == FOREIGN.keys()


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_run_one_way(path):
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("runtime/session.py", "import torch", "'runtime' must not import 'torch'"),
        ("runtime/session.py", "def f():\n    import onnx", "'runtime' must not import 'onnx'"),
        ("runtime/session.py", "from ..exporters import export", "'runtime' must not import 'exporters'"),
        ("runtime/session.py", "from .. import models", "'runtime' must not import 'models'"),
        ("runtime/serving/http.py", "from ...cli.main import main", "'runtime/serving' must not import 'cli'"),
        ("runtime/session.py", "from .serving import service", "'runtime' must not import 'runtime/serving'"),
        ("runtime/engine/engine.py", "from .. import serving", "'runtime' must not import 'runtime/serving'"),
        ("runtime/session.py", "import starlette", "'runtime' must not import 'starlette'"),
        ("runtime/deploy/kserve.py", "import ray", "'runtime' must not import 'ray'"),
        ("runtime/deploy/kserve.py", "from .ray import app_builder", "'runtime' must not import 'runtime/deploy/ray'"),
        ("runtime/deploy/ray/replica.py", "import starlette", "'runtime/deploy/ray' must not import 'starlette'"),
        ("runtime/serving/service.py", "import torch", "'runtime/serving' must not import 'torch'"),
        ("runtime/session.py", "import rnnx.benchmarks", "'runtime' must not import 'benchmarks'"),
        (
            "runtime/session.py",
            "import importlib\nimportlib.import_module('torch')",
            "'runtime' must not import 'torch'",
        ),
        ("runtime/session.py", "if TYPE_CHECKING:\n    import torch", "'runtime' must not import 'torch'"),
        ("bundle.py", "from .runtime import load", "'bundle' must not import 'runtime'"),
        ("signature.py", "import numpy as np", "'signature' must not import 'numpy'"),
        ("__init__.py", "from . import exporters", "'__init__' must not import 'exporters'"),
        ("models/speaker/model.py", "import onnx", "'models' must not import 'onnx'"),
        ("exporters/capture.py", "from ..models import speaker", "'exporters' must not import 'models'"),
        ("cli/export.py", "from ..exporters import export", "imports 'exporters' when it runs"),
        ("cli/run.py", "from ..runtime import load", "imports 'runtime' when it runs"),
        ("cli/run.py", "def run():\n    import torch", "'cli' must not import 'torch'"),
    ],
)
def test_a_wrong_import_is_found(path, source, expected):
    (found,) = violations(source, Path(path))
    assert expected in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "runtime/session.py",
            "import json\nimport numpy as np\nfrom ..bundle import Bundle\nfrom .ort import import_ort",
        ),
        ("runtime/doctor.py", "from .. import __version__, errors"),
        ("runtime/serving/http.py", "from ..session import Session\nfrom ...errors import RnnxError"),
        ("__init__.py", "if TYPE_CHECKING:\n    from . import exporters"),
        (
            "cli/export.py",
            "import click\nif TYPE_CHECKING:\n    import numpy\ndef run():\n    from ..exporters import export",
        ),
        ("models/speaker/demo.py", "import torch\nfrom ...exporters import export"),
    ],
)
def test_a_right_import_passes(path, source):
    assert violations(source, Path(path)) == []


@pytest.mark.parametrize("path", [one for one in modules() if not GENERATED.search(one.name)], ids=str)
def test_modules_are_short(path):
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"'{path}' has {lines} lines: look for a split"


def test_one_module_alone_imports_openvino():
    users = {
        str(path)
        for path in modules()
        for one in imports_of((ROOT / path).read_text(encoding="utf-8"), path)
        if one.target == "openvino" and not one.own
    }
    assert users == {"runtime/openvino_session.py"}


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [
        *project["dependencies"],
        *(line for extra, lines in extras.items() if extra not in {"gpu", "dev"} for line in lines),
    ]
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    foreign = {name for rooms in FOREIGN.values() for name in rooms}
    assert {canonicalize_name(BROUGHT.get(name, name)) for name in foreign} <= names


def loaded_by(statement: str) -> set[str]:
    """The top-level modules in a fresh process after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_face_and_the_runtime_load_neither_torch_nor_onnx():
    loaded = loaded_by("import rnnx, rnnx.runtime, rnnx.bundle\nrnnx.load, rnnx.Session, rnnx.Bundle, rnnx.Signature")
    assert {"rnnx", "numpy"} <= loaded
    assert not loaded & {"torch", "sympy", "safetensors", "opentelemetry", *EXPORT, *SERVE, *GRPC}


def test_the_command_line_loads_nothing_heavy():
    loaded = loaded_by("import rnnx.cli.main")
    assert {"rnnx", "click"} <= loaded
    assert not loaded & {"torch", "numpy", "onnxruntime", *EXPORT}
