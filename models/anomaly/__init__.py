"""Anomalies in a signal, found step by step: an LSTM that foretells sound signals, and how wrong it is."""
