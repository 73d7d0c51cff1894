"""``/``: a page for people, one file without anything from elsewhere; ``/status``: what it shows."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from ..describing import shows_states, variant_of
from ..protocol.metadata import faces
from ..repository import READY, counted_name
from .answers import send_answer, send_json
from .examples import example_of
from .rest import Bare

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ..metrics import Counts
    from ..repository import Face
    from ..service import Service

_PARTS = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page_routes(service: Service) -> list[Route]:
    """The routes of the page and of what it shows."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        content, policy = read_page()
        headers = [
            (b"content-security-policy", policy.encode("ascii")),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-cache"),
        ]
        await send_answer(send, 200, content, b"text/html; charset=utf-8", headers)

    async def status(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send_json(send, status_of_all(service))

    return [Route("/", Bare(page), methods=["GET"]), Route("/status", Bare(status), methods=["GET"])]


@cache
def read_page() -> tuple[bytes, str]:
    """The page and its Content-Security-Policy: its own script and style, by their hashes, and nothing else.

    Source: https://www.w3.org/TR/CSP3/#grammardef-hash-source.
    """
    text = (files(__package__) / "page.html").read_text(encoding="utf-8")
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _PARTS.findall(text):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")
        hashes[kind].append(f"'sha256-{digest}'")
    policy = (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; style-src {' '.join(hashes['style'])}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def status_of_all(service: Service) -> dict[str, Any]:
    """Every model with its state, signature, example and counts, JSON-able."""
    repository = service.repository
    ready = {face.name: face for face in repository.faces()}
    streams = service.metrics.streams()
    models = []
    for one in service.repository_index():
        face = ready.get(one["name"]) if one["state"] == READY else None
        counts = service.metrics.of(counted_name(face.model, streaming=face.carried) if face else one["name"])
        models.append({**one, **_signature(face), **_counts(counts), "streams": streams.get(one["name"], (0, 0))[0]})
    return {"server": service.server_metadata(), "ready": service.ready(), "models": models}


def _signature(face: Face | None) -> dict[str, Any]:
    if face is None:
        return {"variant": "", "provider": "", "inputs": [], "outputs": [], "example": None}
    session = variant_of(face).session
    inputs, outputs = faces(session.signature, states=shows_states(face))
    return {
        "variant": session.variant.key,
        "provider": session.provider,
        "inputs": [str(spec) for spec in inputs],
        "outputs": [str(spec) for spec in outputs],
        "example": example_of(face),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "answered": counts.success.count,
        "failed": counts.fail.count,
        "pending": counts.pending,
        "latency": {"bounds_s": list(counts.latency.bounds), "counts": list(counts.latency.counts)},
    }
