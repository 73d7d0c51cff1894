"""Ray: bundles behind Ray Serve on many machines, and over whole data sets with Ray Data. Needs the extra ``ray``.

- :mod:`.settings`: what an application is made from, and the config file for ``serve deploy``.
- :mod:`.application`: the application; :mod:`.replica` is one of its processes, :mod:`.router` chooses among them.
- :mod:`.predictor`: ``dataset.map_batches(BundlePredictor, ...)``; :mod:`.files` does so for files.

Ray finds the application by its import path, ``rnnx.runtime.deploy.ray:app_builder``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["app_builder"]


def app_builder(args: Mapping[str, Any]) -> Any:  # noqa: ANN401  (a ray.serve.Application; ray has no types)
    """The application of a config file's ``args``; Ray Serve calls this.

    Raises:
        DeployError: the arguments are not those of :class:`.settings.RaySettings`.
        MissingExtraError: Ray is not installed.
    """
    from .application import build  # noqa: PLC0415  (Ray is an extra)
    from .settings import RaySettings  # noqa: PLC0415  (late with it)

    return build(RaySettings.from_args(args))
