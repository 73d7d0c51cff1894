"""What rnnx costs and what it gains, measured."""
