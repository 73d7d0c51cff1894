"""The tuner behind ``rnnx tune``: which variant, with which threads and options, is best on this machine."""
