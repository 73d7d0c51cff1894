"""The next character: a stacked LSTM that has read Moby-Dick, streams, and writes on."""
