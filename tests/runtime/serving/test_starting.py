"""What a server is started with: everything wrong is said before it listens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rnnx.cli.main import main
from rnnx.errors import BundleError, InputError, ProviderError, ServerError, VariantError
from rnnx.runtime.serving.listening import bound
from rnnx.runtime.serving.model import ModelOptions, ServedModel
from rnnx.runtime.serving.server import ServerOptions
from rnnx.runtime.serving.starting import Start, named_bundles, serve


def test_names_of_bundles(tmp_path):
    found = named_bundles(["a.rnnx", f"b={tmp_path}/a.rnnx", "x/c.rnnx/", "d.v2"])
    assert {name: str(path) for name, path in found.items()} == {
        "a": "a.rnnx",
        "b": f"{tmp_path}/a.rnnx",
        "c": "x/c.rnnx",
        "d.v2": "d.v2",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a.rnnx", "x/a.rnnx"], "'a.rnnx' and 'x/a.rnnx' would both be served as 'a'. Give one another name: NAME="),
        (["a="], "'a=' names no bundle"),
        (["a b.rnnx"], "'a b' cannot be a model's name"),
    ],
)
def test_wrong_names(given, message):
    with pytest.raises(ServerError, match=message):
        named_bundles(given)


def no_line(line):
    raise AssertionError(f"it listened: {line}")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"bundles": ()}, ServerError, "no bundle is given"),
        ({"bundles": ("nothing.rnnx",)}, BundleError, "'nothing.rnnx' does not exist, so it is no bundle"),
        ({"bundles": (), "repository": "nowhere"}, ServerError, "--repository 'nowhere' is no folder"),
        ({"models": ModelOptions(provider="tpu")}, ProviderError, "provider 'tpu' is not known"),
        ({"models": ModelOptions(precision="int8")}, VariantError, "has no variant 'int8-offline'"),
        ({"token_file": b""}, ServerError, "must hold one token"),
        ({"token_file": "nowhere"}, ServerError, "--token-file 'nowhere' cannot be read"),
        ({"token_file": "ä".encode()}, ServerError, "holds no token of plain letters"),
        ({"token_key_file": b"short"}, ServerError, "the token key has 5 bytes"),
        ({"server": {"http_port": None, "grpc_port": None}}, ServerError, "neither HTTP nor gRPC"),
        ({"server": {"ports_file": Path("nowhere/ports")}}, ServerError, "--ports-file .* no such folder. Make it"),
        ({"server": {"tls_cert": b"x"}}, ServerError, "give both --tls-cert and --tls-key"),
        ({"server": {"tls_cert": b"x", "tls_key": b"y"}}, ServerError, "cannot be used: .*PEM files that belong"),
    ],
)
def test_a_wrong_start_is_refused_before_it_listens(leaky_path, tmp_path, changes, error, message):

    def as_given(name, value):
        if isinstance(value, bytes):  # the content of a file
            (tmp_path / name).write_bytes(value)
            return tmp_path / name
        return Path(value) if isinstance(value, str) and name != "bundles" else value

    given = {name: as_given(name, value) for name, value in changes.items() if name != "server"}
    if "server" in changes:
        given["server"] = ServerOptions(**{name: as_given(name, value) for name, value in changes["server"].items()})
    with pytest.raises(error, match=message):
        serve(Start(**{"bundles": (str(leaky_path),), **given}), no_line)


def test_a_port_that_is_taken():
    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ServerError, match=f"port {port} of '127.0.0.1' cannot be listened on: Address already in use"
        ):
            bound("127.0.0.1", port)


def test_a_host_that_is_none():
    with pytest.raises(ServerError, match="cannot be listened on"):
        bound("256.0.0.1", 0)


def test_wrong_threads(leaky_path):
    with pytest.raises(InputError, match="threads is 0; it must be a whole number from 1"):
        ServedModel.load("leaky", leaky_path, ModelOptions(provider="cpu", threads=0))


def test_the_command_says_what_is_wrong(leaky_path, tmp_path):
    done = CliRunner().invoke(main, ["serve", str(tmp_path / "nothing.rnnx")])
    assert done.exit_code == 1
    assert "does not exist, so it is no bundle" in done.output
    done = CliRunner().invoke(main, ["serve", str(leaky_path), "--grpc-port", "70000"])
    assert done.exit_code == 2


def test_a_missing_package_is_named(kit, leaky_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    server = Start(bundles=(str(leaky_path),), server=ServerOptions(http_port=0, grpc_port=None))
    with pytest.raises(
        ImportError, match=r"pip install 'rnnx\[serve,grpc\]', or leave this transport out with --no-http"
    ):
        serve(server, no_line)
