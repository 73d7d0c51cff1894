"""``rnnx kserve``: a manifest for KServe."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("kserve")
@click.argument("bundle", type=click.Path())
@click.option("-o", "--out", metavar="FILE.yaml", help="Write it here instead of printing it.")
@click.option("--storage-uri", required=True, metavar="URI", help="Where the cluster fetches BUNDLE's folder: s3://...")
@click.option("--name", default="", help="Name of the service; the bundle's own by default.")
@click.option("--namespace", default="", help="Kubernetes' namespace.")
@click.option("--image", default="", help="The container's image; rnnx:VERSION-cpu or -gpu by default (see docker/).")
@click.option("--gpu/--cpu", default=False, help="Ask for a GPU in each replica.  [default: cpu]")
@click.option("--replicas", default="1:3", show_default=True, metavar="MIN:MAX", help="0 lets the service sleep.")
@click.option("--protocol", type=click.Choice(["v2", "grpc-v2"]), default="v2", show_default=True, help="HTTP or gRPC.")
@click.option("--cpus", default="1", show_default=True, metavar="QUANTITY", help="CPU of each replica.")
@click.option("--memory", default="2Gi", show_default=True, metavar="QUANTITY", help="Memory of each replica.")
@click.option("--force", is_flag=True, help="Replace a file that stands there.")
def command(
    bundle: str,
    out: str | None,
    *,
    storage_uri: str,
    name: str,
    namespace: str,
    image: str,
    replicas: str,
    protocol: str,
    cpus: str,
    memory: str,
    gpu: bool,
    force: bool,
) -> None:
    """Write an InferenceService for KServe that runs 'rnnx serve' with BUNDLE."""
    from ..runtime.deploy.kserve import KserveOptions, manifest_text, write_manifest_text

    options = KserveOptions(
        name=name,
        namespace=namespace,
        storage_uri=storage_uri,
        image=image,
        gpu=gpu,
        replicas=replicas,
        protocol=protocol,
        cpu=cpus,
        memory=memory,
    )
    if out is None:
        click.echo(manifest_text(bundle, options), nl=False)
        return
    write_manifest_text(bundle, options, Path(out), overwrite=force)
    click.echo(f"wrote {out}")
