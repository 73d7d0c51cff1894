"""Decoding: from a step that scores the next token to whole sequences, greedily, by beam search, or by sampling.

All three are written once, for training code in eager PyTorch and for the graph alike: exported, each is one ONNX
``Loop`` that ends when every row has ended. :mod:`rnnx.runtime.search` has the same searches in NumPy, for a host that
runs the step as a graph of its own.
"""

from ...runtime.search import Found
from .beam import beam
from .greedy import greedy
from .sample import sample
from .step import Step

__all__ = ["Found", "Step", "beam", "greedy", "sample"]
