"""`rnnx serve` under load and over time: clients in processes of their own against a server on loopback.

``python -m rnnx.benchmarks.serve.load`` measures rates, latency at half load and overload;
``python -m rnnx.benchmarks.serve.soak`` lets streams and requests of all kinds come and go for minutes.
"""
