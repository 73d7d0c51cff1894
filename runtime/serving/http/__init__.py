"""HTTP and WebSocket: the Open Inference Protocol v2, streams, metrics, the OpenAPI document and the status page.

One ASGI application over a :class:`~rnnx.runtime.serving.service.Service`. A request passes :mod:`.front` (its name,
origin and bearer token) and then either :mod:`.infer`, which is matched first, or a route of :mod:`.rest`,
:mod:`.page` or :mod:`.stream`. :mod:`.connections` holds what no application can see: heads that are too long or too
slow, and readers that do not read. :mod:`.crowds` turns requests away unread while their model's queue is full.
"""

from .app import create_app
from .options import HttpOptions
from .uvicorn_options import uvicorn_options

__all__ = ["HttpOptions", "create_app", "uvicorn_options"]
