"""Many callers, one session: requests and streams are batched, and every answer is what the session alone gives."""

from .counting import BatchReport, EngineStatistics
from .engine import Engine
from .request import Answer
from .table import Lease, StreamTable

__all__ = ["Answer", "BatchReport", "Engine", "EngineStatistics", "Lease", "StreamTable"]
