"""A benchmark that one can believe: what a bundle's variants and their peers cost, side by side, against the machine.

``rnnx bench`` is its command. What is measured is a :class:`~.candidates.Candidate`; :mod:`.bench` has the whole order
of work.
"""
