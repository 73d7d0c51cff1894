"""Python loops over time in a source's own code, as one :func:`~rnnx.exporters.scan` while it is captured.

The way of a loop: ``converting`` finds the functions and puts rewritten ones in their place; ``rewriting``, with
``expressions``, ``syntax`` and ``liveness``, makes of every loop a function of one step beside the loop as it was;
``called`` is what the rewritten code calls; ``conversion`` decides, plans (``walks`` is gone over, ``sequences`` is
looked at by number, ``carried``, ``growing`` and ``settling`` come out) and calls ``scan``; ``advice`` writes the
``scan`` to write where it cannot.
"""
