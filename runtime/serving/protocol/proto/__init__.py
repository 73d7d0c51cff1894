"""The protocol's protobuf messages and gRPC service: ``inference.proto`` and what is generated from it.

They live in a descriptor pool of their own (:data:`.pool.POOL`), so that a process may hold another library's classes
of the same names, such as ``tritonclient``'s, beside these. gRPC reflection must be given that pool.
"""
