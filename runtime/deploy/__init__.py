"""Bundles for servers of others: Triton model repositories (:mod:`.triton`) and KServe manifests (:mod:`.kserve`).

NumPy and ONNX Runtime only: what is written here needs neither torch nor onnx.
"""
