"""gRPC: the service of the Open Inference Protocol v2, health and reflection, on grpc.aio.

Needs the extra ``grpc``. :func:`start_grpc` listens in the running event loop; it runs faster on uvloop's.
"""

from .listening import CallLimits, GrpcServer, start_grpc

__all__ = ["CallLimits", "GrpcServer", "start_grpc"]
