"""What the server's own service and app do otherwise in a replica: a sequence must come to the replica that holds it.

Ray chooses the replica by the header ``x-session-id``, before anybody reads the body that holds the ``sequence_id``.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ....errors import FeatureError, RequestError
from ...serving.protocol.limits import shown
from ...serving.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from ...serving.protocol.request import InferRequest, InferResponse, Parameter
    from ...serving.repository import Repository
    from ...serving.tokens import TokenKeeper

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

#: The header by which Ray Serve keeps a session on a replica; the variable is Ray's own.
SESSION_HEADER = os.environ.get("RAY_SERVE_SESSION_ID_HEADER_KEY", "x-session-id").lower()
#: Says which replica answered.
REPLICA_HEADER = "x-rnnx-replica"
#: The session of the request that is being answered.
_SESSION: ContextVar[str] = ContextVar("session", default="")


class ReplicaService(Service):
    """The service of one replica among several. It inherits because the app asks for a Service."""

    def __init__(self, repository: Repository, *, tokens: TokenKeeper, alone: bool) -> None:
        """Serve a repository.

        Args:
            repository: the models.
            tokens: with the same key in every replica, so that a stream can go on in any.
            alone: whether there never is another replica.
        """
        super().__init__(repository, tokens=tokens)
        self._alone = alone

    async def infer(self, request: InferRequest, *, client: str = "") -> InferResponse:
        """Answer one request.

        Raises:
            RequestError: it is of a sequence, and its header does not send the whole sequence to one replica.
            RnnxError: as for :meth:`Service.infer`.
        """
        session = _SESSION.get()
        if request.sequence is not None and not self._alone and session != str(request.sequence.id):
            found = f"is {shown(session)}" if session else "is missing"
            raise RequestError(
                f"the request is of sequence {shown(request.sequence.id)}, and its header '{SESSION_HEADER}' {found}. "
                f"There are several replicas, and this header chooses one: send '{SESSION_HEADER}' with the "
                f"sequence_id in every request of the sequence. Or carry the states yourself: model "
                f"'{request.model}.streaming'."
            )
        return await super().infer(request, client=client)

    async def load(self, name: str, parameters: Mapping[str, Parameter] | None = None) -> None:  # noqa: ARG002
        """Refused: it would reach one replica of several (FeatureError)."""
        raise _one_of_many("loaded")

    async def unload(self, name: str, parameters: Mapping[str, Parameter] | None = None) -> None:  # noqa: ARG002
        """Refused: it would reach one replica of several (FeatureError)."""
        raise _one_of_many("unloaded")


def with_session(app: App, replica: str) -> App:
    """An app that notes the session of each request and says in each answer which replica gave it.

    Args:
        app: answers HTTP and WebSocket.
        replica: name of this replica.
    """
    # Ray's own matching: proxies on the way may write either.
    wanted = SESSION_HEADER.replace("-", "_").encode()
    mark = (REPLICA_HEADER.encode(), replica.encode())

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        found = next((value for key, value in scope["headers"] if key.lower().replace(b"-", b"_") == wanted), b"")
        _SESSION.set(found.decode("latin-1"))

        async def send_marked(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                message = {**message, "headers": [*message.get("headers", ()), mark]}
            await send(message)

        await app(scope, receive, send_marked)

    return answer


async def _live(receive: Receive, send: Send) -> None:
    """Ray Serve waits for the life of an app to begin; here the replica has one of its own."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _one_of_many(what: str) -> FeatureError:
    return FeatureError(
        f"models are not {what} here: it would be so in one replica of several. Change the application's bundles and "
        "deploy it again."
    )
