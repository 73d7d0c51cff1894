"""From English to French: short texts of programs and names, with additive attention and beam search in the graph."""
