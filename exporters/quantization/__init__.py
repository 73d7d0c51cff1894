"""Variants in a lower precision: what may be lost, what it is measured on, which nodes to take, and the proof."""
