"""The Open Inference Protocol v2 as values: requests and answers as JSON, bytes and protobuf, without a server."""
