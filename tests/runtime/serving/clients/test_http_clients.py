"""Clients that nobody here wrote, in an environment of their own, against a server as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

HERE = Path(__file__).parent
CLIENTS = ("tritonclient[http]==2.73.0", "websockets==17.4", "schemathesis==4.32.5")


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """The folder of the clients' programs."""
    folder = tmp_path_factory.mktemp("clients") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *CLIENTS]
    subprocess.run(install, check=True, capture_output=True)
    return folder / "bin"


@pytest.fixture
def address(leaky_path, tmp_path):
    """Host and port of a server of the model `leaky`."""
    ports = tmp_path / "ports.json"
    command = [sys.executable, "-m", "rnnx", "serve", leaky_path, "--http-port", "0", "--no-grpc", "--provider", "cpu"]
    command += ["--ports-file", ports, "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 60
            while not is_ready(ports):
                assert server.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield f"127.0.0.1:{json.loads(ports.read_text(encoding='utf-8'))['http']}"
        finally:
            server.terminate()
            assert server.wait(20) == 0


def is_ready(ports):
    """Whether the server that writes this file can answer."""
    if not ports.exists():
        return False
    uri = f"http://127.0.0.1:{json.loads(ports.read_text(encoding='utf-8'))['http']}/v2/health/ready"
    try:
        with urllib.request.urlopen(uri, timeout=5) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


def run(*command, cwd):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


@pytest.mark.slow
def test_tritonclient_and_websockets(clients, address, tmp_path):
    assert run(clients / "python", HERE / "over_http.py", address, cwd=tmp_path) == "all as it should be\n"


@pytest.mark.slow
def test_schemathesis_finds_nothing(clients, address, tmp_path):
    config = HERE / "schemathesis.toml"
    command = [clients / "st", "--config-file", config, "run", f"http://{address}/openapi.json", "--seed", "1"]
    assert "Tested: 20" in run(*command, "--no-color", cwd=tmp_path)
