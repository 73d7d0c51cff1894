"""``POST /v2/models/NAME[/versions/V]/infer``: the path that must be fast, so a bare ASGI endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ....errors import RequestError
from ..describing import shows_states, variant_of
from ..protocol.binary import HEADER_LENGTH, parse_body
from ..protocol.compression import choose, compress, decompress
from ..protocol.json_form import render
from ..protocol.metadata import faces, optional_inputs
from .answers import BYTES, JSON, send_answer
from .bodies import Body, GoneError, unless_gone

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ....signature import TensorSpec
    from ..protocol.json_form import Body as Rendered
    from ..protocol.request import InferRequest, InferResponse
    from ..repository import Face
    from .site import Site

_LENGTH = HEADER_LENGTH.lower().encode("ascii")
#: Smaller JSON is read and written in the event loop's thread: handing it to another one takes longer.
SMALL_BYTES = 32 << 10
SMALL_ELEMENTS = 4096
SMALL_COMPRESSED = 1024


class Target(NamedTuple):
    """Which model a request is for, and who sent it: the other end's address."""

    name: str
    version: str
    client: str


def client_of(scope: Scope) -> str:
    """The address of the other end, or empty."""
    peer = scope.get("client")
    return peer[0] if peer else ""


class InferEndpoint:
    """Reads a request, lets the service answer it, and writes the answer."""

    def __init__(self, site: Site) -> None:
        """Answer for an application."""
        self._site = site
        self._service = site.service

    async def __call__(self, receive: Receive, send: Send, headers: dict[bytes, bytes], target: Target) -> None:
        """Answer one request.

        Args:
            receive: ASGI's.
            send: ASGI's.
            headers: of the request, names in lower case.
            target: the model.

        Raises:
            GoneError: the client went away.
        """
        service = self._service
        with Body(headers, receive, self._site, service.limits.body_bytes) as body:
            try:
                face = service.repository.find(target.name, target.version)
                request = await self._parse(body, headers, face, target.version)
                response = await unless_gone(receive, service.infer(request, client=target.client))
                rendered, encoding = await _render(response, request, headers.get(b"accept-encoding"))
            except GoneError:
                raise
            except Exception as error:  # noqa: BLE001  (told as the table of errors has it, and logged there)
                await body.refuse(send, error)
                return
            extra: list[tuple[bytes, bytes]] = []
            media = JSON
            if rendered.json_bytes is not None:
                extra.append((_LENGTH, b"%d" % rendered.json_bytes))
                media = BYTES
            if encoding:
                extra.append((b"content-encoding", encoding.encode("ascii")))
            if b"accept-encoding" in headers:
                extra.append((b"vary", b"accept-encoding"))
            await send_answer(send, 200, rendered.content, media, extra)

    async def _parse(self, body: Body, headers: dict[bytes, bytes], face: Face, version: str) -> InferRequest:
        """The request; in another thread where reading it takes long."""
        limits = self._service.limits
        content = await body.read()
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        given = headers.get(_LENGTH)
        length = None if given is None else given.decode("latin-1")
        if length == "0" and headers.get(b"content-type", b"").startswith(JSON):
            raise RequestError(
                f"the header {HEADER_LENGTH} says that the body is a tensor; its Content-Type says that it is JSON. "
                "Send application/octet-stream, or leave the first one out."
            )

        def parse() -> InferRequest:
            return parse_body(
                decompress(content, encoding, limits.body_bytes) if encoding else content,
                length,
                model=face.name,
                version=version,
                limits=limits,
                raw_input=lambda: only_input(face),
            )

        if encoding:
            body.hold_inflated(len(content))
        elif length is not None or len(content) <= SMALL_BYTES:
            return parse()
        return await asyncio.to_thread(parse)


async def _render(response: InferResponse, request: InferRequest, accept: bytes | None) -> tuple[Rendered, str]:
    """The answer and its encoding; in another thread where writing it takes long."""
    encoding = choose(accept.decode("latin-1")) if accept else ""
    size = sum(one.size for one in response.outputs.values())

    def write() -> tuple[Rendered, str]:
        rendered = render(response, request)
        content, name = compress(rendered.content, encoding)
        return replace(rendered, content=content), name

    if size <= (SMALL_COMPRESSED if encoding else SMALL_ELEMENTS) or (request.binary and not encoding):
        return write()
    return await asyncio.to_thread(write)


def only_input(face: Face) -> TensorSpec:
    """The one input that a raw body is of.

    Raises:
        RequestError: the model needs more than one.
    """
    signature, states = variant_of(face).session.signature, shows_states(face)
    inputs, _ = faces(signature, states=states)
    needed = [spec for spec in inputs if spec.name not in optional_inputs(signature, states=states)]
    if len(needed) != 1:
        raise RequestError(
            f"a raw body is one tensor, and model '{face.name}' needs {len(needed)} inputs: "
            f"{', '.join(spec.name for spec in needed)}. Send JSON with them, or with their bytes behind it."
        )
    return needed[0]
