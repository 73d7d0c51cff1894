"""A server over engines: the Open Inference Protocol v2 by HTTP and gRPC, streams by WebSocket.

The flow of one request: a transport (``http/``, ``grpc/``) turns bytes into a
:class:`~rnnx.runtime.serving.protocol.request.InferRequest` (``protocol/``),
:class:`~rnnx.runtime.serving.service.Service` finds the model and the stream, its engine
(``rnnx.runtime.engine``) batches and runs it, and the same way back.
"""
