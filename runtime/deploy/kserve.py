"""``rnnx kserve``: an ``InferenceService`` that runs ``rnnx serve`` in a container of its own.

The fields are those of the API ``serving.kserve.io/v1beta1``; a predictor with ``containers`` is KServe's custom
predictor, whose first container must be called ``kserve-container``. The storage initializer reads ``STORAGE_URI`` from
its environment and lays the bundle at ``/mnt/models`` before it starts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...atomic import write_atomically
from ...bundle import Bundle
from ...errors import DeployError, DeployExistsError
from .yaml_text import to_yaml

if TYPE_CHECKING:
    from pathlib import Path

#: What KServe takes as a name, and Kubernetes as that of a namespace.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_LONGEST_NAME = 63
#: Where each kind of bundle can be fetched from.
_STORAGES = ("s3://", "gs://", "hdfs://", "webhdfs://", "https://", "http://", "pvc://", "hf://", "oci://")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?\Z")
_REPLICAS = re.compile(r"(\d+):(\d+)\Z")
#: Protocols by KServe's names: port, and the port's name, by which Knative knows what is spoken there.
PROTOCOLS = {"v2": (8080, "http1"), "grpc-v2": (9000, "h2c")}
MODELS = "/mnt/models"
GRACE_S = 30
_LOADING_S = 60
#: Of the image that docker/Dockerfile.cpu and docker/Dockerfile.gpu make.
_USER = 10001


@dataclass(frozen=True, kw_only=True, slots=True)
class KserveOptions:
    """What a manifest may say.

    Attributes:
        name: of the service; the bundle's by default.
        namespace: Kubernetes' namespace; left out where it is empty.
        storage_uri: where the cluster fetches the bundle's folder.
        image: of ``docker/``; by default ``rnnx:VERSION-cpu`` or ``-gpu``.
        gpu: ask for one NVIDIA GPU.
        replicas: ``MIN:MAX``; 0 as the minimum lets the service go to sleep.
        protocol: ``v2`` for HTTP, ``grpc-v2`` for gRPC: a service of Knative has one port.
        cpu: of each replica, in Kubernetes' form.
        memory: of each replica, in Kubernetes' form.
    """

    name: str = ""
    namespace: str = ""
    storage_uri: str
    image: str = ""
    gpu: bool = False
    replicas: str = "1:3"
    protocol: str = "v2"
    cpu: str = "1"
    memory: str = "2Gi"


def manifest(bundle_path: str | os.PathLike[str], options: KserveOptions) -> dict[str, Any]:
    """The ``InferenceService`` as a mapping.

    Args:
        bundle_path: the bundle, as it lies here: its name and hash go into the manifest.
        options: the rest.

    Raises:
        BundleError: the bundle cannot be read.
        DeployError: an option is not what KServe takes.
    """
    bundle = Bundle.open(bundle_path)
    model = bundle.manifest.name
    name = options.name or re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    least, most = _checked(name, options)
    predictor: dict[str, Any] = {
        "minReplicas": least,
        "maxReplicas": most,
        # Longer than the server's own grace, so that it ends by itself.
        "terminationGracePeriodSeconds": GRACE_S + 15,
        "containers": [_container(model, options)],
    }
    metadata: dict[str, Any] = {"name": name}
    if options.namespace:
        metadata["namespace"] = options.namespace
    metadata["annotations"] = {"rnnx.bundle-sha256": bundle.sha256}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }


def manifest_text(bundle_path: str | os.PathLike[str], options: KserveOptions) -> str:
    """The ``InferenceService`` as YAML, ready for ``kubectl apply -f``.

    Raises:
        BundleError, DeployError: as :func:`manifest`.
    """
    made = manifest(bundle_path, options)
    return f"# Written by rnnx {__version__}. The bundle must lie at {options.storage_uri}.\n{to_yaml(made)}"


def write_manifest_text(
    bundle_path: str | os.PathLike[str], options: KserveOptions, out: Path, *, overwrite: bool = False
) -> None:
    """Write what :func:`manifest_text` gives, whole or not at all.

    Raises:
        BundleError, DeployError: as :func:`manifest`.
        DeployExistsError: something stands at ``out``.
        OSError: it cannot be written there.
    """
    if os.path.lexists(out) and (not overwrite or not out.is_file()):
        raise DeployExistsError(f"'{out}' exists already. Choose another name, or replace a file with --force.")
    write_atomically(out, manifest_text(bundle_path, options).encode())


def _container(model: str, options: KserveOptions) -> dict[str, Any]:
    port, port_name = PROTOCOLS[options.protocol]
    http, grpc = PROTOCOLS["v2"][0], PROTOCOLS["grpc-v2"][0]
    resources = {"cpu": options.cpu, "memory": options.memory}
    if options.gpu:
        resources["nvidia.com/gpu"] = "1"
    kind = "gpu" if options.gpu else "cpu"
    return {
        "name": "kserve-container",
        "image": options.image or f"rnnx:{__version__}-{kind}",
        "args": [
            f"{model}={MODELS}",
            "--host",
            "0.0.0.0",  # noqa: S104  (within the pod: KServe's own proxy stands before it)
            "--http-port",
            str(http),
            "--grpc-port",
            str(grpc),
            "--provider",
            "cuda" if options.gpu else "cpu",
            "--grace",
            str(GRACE_S),
        ],
        "env": [{"name": "STORAGE_URI", "value": options.storage_uri}],
        "ports": [{"containerPort": port, "name": port_name, "protocol": "TCP"}],
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        # No startupProbe: older Knative refuses a service that has one. Loading a large bundle takes a while.
        "livenessProbe": {**_probe(options.protocol, port, "live", period_s=10), "initialDelaySeconds": _LOADING_S},
        "readinessProbe": _probe(options.protocol, port, "ready", period_s=5),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _probe(protocol: str, port: int, what: str, *, period_s: int) -> dict[str, Any]:
    # gRPC's health service has one answer for the whole server, which is "not serving" while it drains: by then it has
    # less than three periods to live anyway.
    how: dict[str, Any] = (
        {"httpGet": {"path": f"/v2/health/{what}", "port": port}} if protocol == "v2" else {"grpc": {"port": port}}
    )
    return {**how, "periodSeconds": period_s, "timeoutSeconds": 2, "failureThreshold": 3}


def _checked(name: str, options: KserveOptions) -> tuple[int, int]:
    """The numbers of replicas, after everything was found to be what KServe takes."""
    for what, value in (("name", name), ("namespace", options.namespace)):
        allowed = _NAME.match(value) is not None and len(value) <= _LONGEST_NAME
        if not allowed and (value or what == "name"):
            raise DeployError(
                f"{what} '{value}' is not allowed: lower-case letters, digits and '-', a letter first, at most "
                f"{_LONGEST_NAME} of them. Give another with --{what}."
            )
    if not options.storage_uri.startswith(_STORAGES):
        raise DeployError(
            f"storage URI '{options.storage_uri}' is not one that KServe fetches from; it begins with one of "
            f"{', '.join(_STORAGES)}."
        )
    if options.protocol not in PROTOCOLS:
        raise DeployError(f"protocol '{options.protocol}' is not known. Allowed are {', '.join(PROTOCOLS)}.")
    for what, value in (("cpu", options.cpu), ("memory", options.memory)):
        if not _QUANTITY.match(value):
            raise DeployError(f"{what} '{value}' is no quantity of Kubernetes. Write '500m', '2' or '2Gi'.")
    found = _REPLICAS.match(options.replicas)
    if not found or int(found[2]) < max(1, int(found[1])):
        raise DeployError(f"replicas '{options.replicas}' must be MIN:MAX with MAX at least MIN and 1, such as 1:3.")
    return int(found[1]), int(found[2])
