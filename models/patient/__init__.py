"""How a patient fares: a GRU over visits that come when they come, with whatever was measured at each."""
