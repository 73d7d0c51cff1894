"""Settings of an application, and the config file for ``serve deploy``."""

from __future__ import annotations

import subprocess
import sys

import click.testing
import pytest

from rnnx.cli.main import main
from rnnx.errors import BundleNotFoundError, DeployError, DeployExistsError
from rnnx.runtime.deploy.ray.settings import IMPORT_PATH, ROUTER, RaySettings, config, write_config

BUNDLES = {"a": "/x/a.rnnx"}


def test_a_fixed_number_of_replicas():
    settings = RaySettings(bundles=BUNDLES, replicas=3, num_cpus=2, num_gpus=0.5)
    options = settings.deployment_options()
    assert options["num_replicas"] == 3
    assert "autoscaling_config" not in options
    assert options["ray_actor_options"] == {"num_cpus": 2, "num_gpus": 0.5}
    assert options["request_router_config"]["request_router_class"] == ROUTER
    assert settings.most_replicas == 3


def test_a_number_that_follows_the_load():
    settings = RaySettings(bundles=BUNDLES, min_replicas=2, max_replicas=5, target_ongoing_requests=7.5)
    options = settings.deployment_options()
    wanted = {"min_replicas": 2, "max_replicas": 5, "target_ongoing_requests": 7.5}
    assert options["autoscaling_config"] == wanted
    assert "num_replicas" not in options
    assert settings.most_replicas == 5
    assert wanted.items() <= config(settings, host="127.0.0.1", port=1)["applications"][0]["args"].items()


def test_args_are_read_as_they_were_written():
    settings = RaySettings(bundles=BUNDLES, min_replicas=1, max_replicas=2, name="n", precision="fp32", provider="cpu")
    assert RaySettings.from_args(settings.to_args()) == settings
    assert RaySettings.from_args({"bundles": BUNDLES}) == RaySettings(bundles=BUNDLES)
    assert RaySettings(bundles=BUNDLES).most_replicas == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"replicas": 2, "min_replicas": 1}, "replicas is a fixed number, and min_replicas lets it follow"),
        ({"replicas": 2, "target_ongoing_requests": 1}, "and target_ongoing_requests lets it follow"),
        ({"replicas": 0}, "replicas is 0; it must be a whole number from 1"),
        ({"min_replicas": 1}, "min_replicas is given without max_replicas"),
        ({"target_ongoing_requests": 2}, "target_ongoing_requests is given without max_replicas"),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas is 3 and max_replicas 2; they must be 1 <= min <= max"),
        ({"min_replicas": 0, "max_replicas": 2}, "they must be 1 <= min <= max"),
        ({"max_replicas": 2, "target_ongoing_requests": 0}, "target_ongoing_requests is 0; it must be above 0"),
        ({"num_cpus": -1}, "num_cpus is -1; it must be a number from 0"),
        ({"num_cpus": float("nan")}, "argument 'num_cpus' is nan; it must be of type float"),
        ({"max_queue": 0}, "max_queue is 0"),
        ({"stream_idle_s": 0}, "stream_idle_s is 0"),
        ({"name": "a b"}, "application name 'a b' is not allowed"),
        ({"bundles": {}}, "no bundle is given"),
        ({"bundles": ["a"]}, "argument 'bundles' is .* must be of type Mapping"),
        ({"replicas": "2"}, "argument 'replicas' is '2'"),
        ({"replicas": True}, "argument 'replicas' is True"),
        ({"replica": 2}, "argument 'replica' is not known; allowed are bundles, name"),
    ],
)
def test_wrong_args(args, message):
    with pytest.raises(DeployError, match=message):
        RaySettings.from_args({"bundles": BUNDLES, **args})


def test_args_without_bundles():
    with pytest.raises(DeployError, match="argument 'bundles' is missing"):
        RaySettings.from_args({})


def test_a_file_is_replaced_only_when_asked(summing_path, tmp_path):
    settings, out = RaySettings(bundles={"summing": str(summing_path)}), tmp_path / "app.yaml"
    write_config(settings, out, host="127.0.0.1", port=8000)
    with pytest.raises(DeployExistsError, match="exists already"):
        write_config(settings, out, host="127.0.0.1", port=8000)
    write_config(settings, out, host="0.0.0.0", port=8000, overwrite=True)  # noqa: S104
    assert "0.0.0.0" in out.read_text()  # noqa: S104


def test_no_bundle_there(tmp_path):
    settings = RaySettings(bundles={"a": str(tmp_path / "a.rnnx")})
    with pytest.raises(BundleNotFoundError):
        write_config(settings, tmp_path / "app.yaml", host="127.0.0.1", port=8000)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_file(summing_path, tmp_path):
    out = tmp_path / "app.yaml"
    given = ["ray", f"sums={summing_path}", "-o", str(out), "--min-replicas", "2", "--max-replicas", "4"]
    given += ["--target-ongoing-requests", "8", "--num-gpus", "1", "--http-port", "9001", "--precision", "fp32"]
    done = click.testing.CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    lines = [line.strip() for line in out.read_text().splitlines()]
    for line in (
        f"import_path: {IMPORT_PATH}".replace(IMPORT_PATH, f'"{IMPORT_PATH}"'),
        f"sums: {summing_path}",
        "min_replicas: 2",
        "max_replicas: 4",
        "target_ongoing_requests: 8.0",
        "num_gpus: 1.0",
        "port: 9001",
        'host: "127.0.0.1"',
        "precision: fp32",
    ):
        assert line in lines, line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--replicas", "2", "--min-replicas", "1"], "replicas is a fixed number"),
        (["--replicas", "0"], "replicas is 0"),
    ],
)
def test_the_command_refuses(summing_path, given, message, tmp_path):
    done = click.testing.CliRunner().invoke(main, ["ray", str(summing_path), *given, "-o", str(tmp_path / "a.yaml")])
    assert done.exit_code == 1
    assert message in done.output


HIDDEN = """
import sys
sys.modules["ray"] = None
from rnnx.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["ray", "ray-data"])
def test_without_ray_the_extra_is_named(summing_path, command, tmp_path):
    more = ["--input", "a.npz", "--output", str(tmp_path / "out")] if command == "ray-data" else []
    given = [sys.executable, "-c", HIDDEN, command, str(summing_path), *more]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'rnnx[ray]'" in done.stderr
    assert "Traceback" not in done.stderr
