"""Manifests for KServe, held against the fields of its published schema; and the YAML that they are written in."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import click.testing
import jsonschema
import pytest

from rnnx.bundle import Bundle
from rnnx.cli.main import main
from rnnx.errors import BundleNotFoundError, DeployError, DeployExistsError
from rnnx.runtime.deploy.kserve import KserveOptions, manifest, manifest_text, write_manifest_text
from rnnx.runtime.deploy.yaml_text import to_yaml

SCHEMA = json.loads(Path(__file__).with_name("inferenceservice.schema.json").read_text(encoding="utf-8"))
URI = "s3://models/small.rnnx"


@pytest.fixture(scope="module")
def bundle(make_bundle):
    return make_bundle(name="Small_Model")


def container(made):
    (found,) = made["spec"]["predictor"]["containers"]
    return found


def test_the_schema_finds_what_is_wrong(bundle):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for path, value in (
        (("spec", "predictor", "minReplica"), 1),
        (("spec", "predictor", "minReplicas"), "1"),
        (("metadata", "name"), "Upper"),
        (("spec", "predictor", "containers", 0, "ports"), [{"containerPort": 1, "name": "http1"}] * 2),
        (("spec", "predictor", "containers", 0, "resources", "limits", "memory"), "2 GB"),
        (("spec", "predictor", "containers", 0, "readinessProbe", "grpc"), {"port": 9000}),
    ):
        made = json.loads(json.dumps(manifest(bundle, KserveOptions(storage_uri=URI))))
        inside = made
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(made, SCHEMA)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    ("protocol", "port", "probe"),
    [
        ("v2", {"containerPort": 8080, "name": "http1", "protocol": "TCP"}, ("httpGet", "/v2/health/ready")),
        ("grpc-v2", {"containerPort": 9000, "name": "h2c", "protocol": "TCP"}, ("grpc", None)),
    ],
)
def test_it_runs_the_server(bundle, gpu, protocol, port, probe):
    options = KserveOptions(storage_uri=URI, gpu=gpu, protocol=protocol, namespace="speech", replicas="0:5")
    made = manifest(bundle, options)
    jsonschema.validate(made, SCHEMA)
    assert made["metadata"]["name"] == "small-model"
    assert made["metadata"]["namespace"] == "speech"
    assert made["metadata"]["annotations"] == {"rnnx.bundle-sha256": Bundle.open(bundle).sha256}
    predictor, one = made["spec"]["predictor"], container(made)
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (0, 5)
    assert one["name"] == "kserve-container"
    assert one["ports"] == [port]
    assert one["args"][0] == "Small_Model=/mnt/models"
    given = dict(zip(one["args"][1::2], one["args"][2::2], strict=True))
    assert given["--http-port"] == "8080"
    assert given["--grpc-port"] == "9000"
    assert given["--provider"] == ("cuda" if gpu else "cpu")
    assert int(given["--grace"]) < predictor["terminationGracePeriodSeconds"]
    assert one["env"] == [{"name": "STORAGE_URI", "value": URI}]
    assert one["image"].endswith("-gpu" if gpu else "-cpu")
    assert one["resources"]["limits"].get("nvidia.com/gpu") == ("1" if gpu else None)
    kind, path = probe
    assert one["readinessProbe"][kind].get("path") == path
    assert one["readinessProbe"][kind]["port"] == port["containerPort"]


def test_the_server_knows_every_argument(bundle):
    from rnnx.cli.serve import command

    arguments = container(manifest(bundle, KserveOptions(storage_uri=URI)))["args"]
    with command.make_context("serve", list(arguments)) as context:
        assert "Small_Model=/mnt/models" in str(context.params["bundles"])
        assert (context.params["host"], context.params["http_port"]) == ("0.0.0.0", 8080)  # noqa: S104


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Upper"}, "name 'Upper' is not allowed"),
        ({"name": "a" * 64}, "at most 63"),
        ({"name": "1a"}, "a letter first"),
        ({"namespace": "no_no"}, "namespace 'no_no' is not allowed"),
        ({"storage_uri": "/home/me/small.rnnx"}, "is not one that KServe fetches from; it begins with one of s3://"),
        ({"protocol": "v1"}, "protocol 'v1' is not known. Allowed are v2, grpc-v2"),
        ({"replicas": "3"}, "replicas '3' must be MIN:MAX"),
        ({"replicas": "3:1"}, "MAX at least MIN"),
        ({"replicas": "0:0"}, "MAX at least MIN and 1"),
        ({"memory": "2 GB"}, "memory '2 GB' is no quantity"),
        ({"cpu": "-1"}, "cpu '-1' is no quantity"),
    ],
)
def test_what_kserve_would_refuse(bundle, options, message):
    with pytest.raises(DeployError, match=message):
        manifest(bundle, KserveOptions(**({"storage_uri": URI} | options)))


def test_a_bundle_whose_name_gives_none_needs_one(make_bundle):
    with pytest.raises(DeployError, match=r"name '' is not allowed.* Give another with --name"):
        manifest(make_bundle(name="___"), KserveOptions(storage_uri=URI))


def test_no_bundle(tmp_path):
    with pytest.raises(BundleNotFoundError):
        manifest(tmp_path, KserveOptions(storage_uri=URI))


def test_a_file_is_replaced_only_when_asked(bundle, tmp_path):
    options, out = KserveOptions(storage_uri=URI), tmp_path / "service.yaml"
    write_manifest_text(bundle, options, out)
    assert out.read_text() == manifest_text(bundle, options)
    with pytest.raises(DeployExistsError, match="exists already"):
        write_manifest_text(bundle, options, out)
    write_manifest_text(bundle, KserveOptions(storage_uri=URI, name="other"), out, overwrite=True)
    assert "name: other" in out.read_text()
    with pytest.raises(DeployExistsError):
        write_manifest_text(bundle, options, tmp_path, overwrite=True)


def test_the_command(bundle, tmp_path):
    run = click.testing.CliRunner().invoke
    done = run(main, ["kserve", str(bundle), "--storage-uri", URI])
    assert done.exit_code == 0
    assert done.output.splitlines()[1] == "apiVersion: serving.kserve.io/v1beta1"
    done = run(main, ["kserve", str(bundle), "--storage-uri", URI, "-o", str(tmp_path / "s.yaml"), "--gpu"])
    assert (done.exit_code, (tmp_path / "s.yaml").is_file()) == (0, True)
    assert run(main, ["kserve", str(bundle)]).exit_code == 2
    assert run(main, ["kserve", str(tmp_path), "--storage-uri", URI]).exit_code == 1


HARD = {
    "plain": "serving.kserve.io/v1beta1",
    "words": ["yes", "No", "null", "~", "on", "true", ".inf", "y"],
    "numbers": ["1", "0x1f", "1e3", "2Gi", "10:30", "0.0.0.1", "-1"],
    "text": ["", " x", "a: b", "a #b", "- a", '"q"', "a\nb", "ä", "{}", "a\\b", "*a", "&a", "!a", "%a", "@a"],
    "others": [1, -2.5, True, False, {}, []],
    "nested": [{"a": [{"b": 1, "c": "d"}], "e": {"f": []}}, ["g", ["h"]]],
}


def read(lines, indent=0):
    """A reader of just the YAML that is written here, independent of the writer: blocks by indent, scalars as JSON."""

    def scalar(text):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    if lines[0].startswith("- "):
        items = []
        for line in lines:
            if line.startswith("- "):
                items.append([line[2:]])
            else:
                items[-1].append(line[2:])
        return [read(one) if len(one) > 1 or _is_block(one[0]) else scalar(one[0]) for one in items]
    out, key, inner = {}, None, []
    for line in [*lines, "end:"]:
        if line.startswith(" "):
            inner.append(line[2:])
            continue
        if inner:
            out[key] = read(inner)
            inner = []
        key, _, value = line.partition(":")
        if value.strip():
            out[key] = scalar(value.strip())
    return out


def _is_block(text):
    return text.startswith("- ") or re.match(r"[A-Za-z]+:( |$)", text) is not None


def test_yaml_is_read_as_it_was_meant():
    assert read(to_yaml(HARD).splitlines()) == HARD


def test_yaml_is_read_by_others_as_it_was_meant(bundle):
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(to_yaml(HARD)) == HARD
    options = KserveOptions(storage_uri=URI, gpu=True)
    assert yaml.safe_load(manifest_text(bundle, options)) == manifest(bundle, options)


def test_yaml_writes_nothing_else():
    with pytest.raises(TypeError, match="NoneType has no form"):
        to_yaml({"a": None})
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_yaml({"a": math.nan})
