"""Front ends that stand in the graph, so that a bundle takes what a microphone gives: raw samples.

:class:`LogMel` and :class:`Mfcc` are causal and of a fixed hop, so the streaming pass cuts them into chunks with the
rest of a model.
"""

from ...runtime.tasks.mel import mel_filters
from .logmel import LogMel
from .mfcc import Mfcc

__all__ = ["LogMel", "Mfcc", "mel_filters"]
