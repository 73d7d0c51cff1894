"""The methods of ``inference.GRPCInferenceService`` but for the bodies of streams, which are in :mod:`.streaming`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from ....errors import ModelNotFoundError, RequestError
from ..protocol import grpc_form
from ..protocol.grpc_steps import write_answer
from ..protocol.proto import inference_pb2 as pb
from .telling import check_readable, client_of, reader, tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..protocol.request import InferRequest
    from ..service import Service
    from .calls import StreamCalls

    Method = Callable[[Any, Any], Awaitable[Any]]


class Servicer:
    """Answers calls. Used in the event loop's thread; a method takes a message and the call's context."""

    def __init__(self, service: Service, streams: StreamCalls) -> None:
        """Answer for a service; bodies of ModelStreamInfer are run by ``streams``."""
        self._service = service
        self._streams = streams

    def handlers(self) -> Any:  # noqa: ANN401  (grpc ships no types)
        """The service, for a server to add."""
        methods: dict[str, Method] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "ModelInfer": self.model_infer,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_load,
            "RepositoryModelUnload": self.repository_unload,
        }
        described = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        found = {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(name, method),
                reader(getattr(pb, described.methods_by_name[name].input_type.name)),
                getattr(pb, described.methods_by_name[name].output_type.name).SerializeToString,
            )
            for name, method in methods.items()
        }
        found["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self.model_stream_infer,
            reader(pb.ModelInferRequest),
            write_answer,
        )
        return grpc.method_handlers_generic_handler(described.full_name, found)

    async def server_live(self, _: pb.ServerLiveRequest, __: object) -> pb.ServerLiveResponse:
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=self._service.live())

    async def server_ready(self, _: pb.ServerReadyRequest, __: object) -> pb.ServerReadyResponse:
        """Whether every wanted model can be used."""
        return pb.ServerReadyResponse(ready=self._service.ready())

    async def model_ready(self, message: pb.ModelReadyRequest, _: object) -> pb.ModelReadyResponse:
        """Whether a model can be used; False of one that is not known, as clients of this method expect."""
        try:
            ready = self._service.model_ready(message.name, message.version)
        except ModelNotFoundError:
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def server_metadata(self, _: pb.ServerMetadataRequest, __: object) -> pb.ServerMetadataResponse:
        """Name, version and extensions of the server."""
        return grpc_form.server_message(self._service.server_metadata())

    async def model_metadata(self, message: pb.ModelMetadataRequest, _: object) -> pb.ModelMetadataResponse:
        """Inputs and outputs of a model."""
        return grpc_form.metadata_message(self._service.model_metadata(message.name, message.version))

    async def model_config(self, message: pb.ModelConfigRequest, _: object) -> pb.ModelConfigResponse:
        """How a model is served."""
        return grpc_form.config_message(self._service.model_config(message.name, message.version))

    async def model_statistics(self, message: pb.ModelStatisticsRequest, _: object) -> pb.ModelStatisticsResponse:
        """What was counted of one model, or of all."""
        return grpc_form.statistics_message(self._service.statistics(message.name, message.version))

    async def model_infer(self, message: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: ANN401
        """One answer."""
        request = _in_time(grpc_form.parse_message(message, self._service.limits), context.time_remaining())
        return grpc_form.render_message(await self._service.infer(request, client=client_of(context)))

    async def model_stream_infer(self, _: object, context: Any) -> None:  # noqa: ANN401
        """Any number of requests and their answers; errors of requests are answers too."""
        await self._streams.run(context)

    async def repository_index(self, message: pb.RepositoryIndexRequest, _: object) -> pb.RepositoryIndexResponse:
        """Every model and its state."""
        _check_repository(message)
        return grpc_form.index_message(self._service.repository_index(message.ready))

    async def repository_load(
        self, message: pb.RepositoryModelLoadRequest, _: object
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or load it again."""
        _check_repository(message)
        await self._service.load(message.model_name, grpc_form.read_parameters(message.parameters))
        return pb.RepositoryModelLoadResponse()

    async def repository_unload(
        self, message: pb.RepositoryModelUnloadRequest, _: object
    ) -> pb.RepositoryModelUnloadResponse:
        """Take no more requests for a model."""
        _check_repository(message)
        await self._service.unload(message.model_name, grpc_form.read_parameters(message.parameters))
        return pb.RepositoryModelUnloadResponse()


def _answering(name: str, method: Method) -> Method:
    """A method whose errors become the call's status."""

    async def answer(message: Any, context: Any) -> Any:  # noqa: ANN401  (grpc ships no types)
        try:
            check_readable(message, name)
            return await method(message, context)
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  (whatever failed, this call is told, and the server goes on)
            code, text = tell(error, name)
        return await context.abort(code, text)  # which raises

    return answer


def _in_time(request: InferRequest, left_s: float | None) -> InferRequest:
    """A request that waits and runs no longer than its client does."""
    if left_s is None:
        return request
    left_us = max(1, int(left_s * 1e6))
    return replace(request, timeout_us=min(left_us, request.timeout_us or left_us))


def _check_repository(message: Any) -> None:  # noqa: ANN401  (one of three messages)
    if message.repository_name:
        raise RequestError("there is one repository here, and it has no name. Leave 'repository_name' empty.")
