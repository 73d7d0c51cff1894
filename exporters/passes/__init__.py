"""Graph to graph, one pass a file. Each is an ``onnx_ir`` pass, ``model -> PassResult(model, modified)``."""
