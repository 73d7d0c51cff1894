"""Good or bad: a bidirectional GRU over words, and an attention that shows which of them mattered."""
