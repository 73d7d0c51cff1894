"""The zoo: recurrent systems that are trained on real data, measured in every variant, and useful from their bundles.

:mod:`.registry` lists them; a system is a :class:`System` in a room of its own beside this one.
"""
