"""The zoo: recurrent systems trained on real data, each a folder with its recipe and checkpoint, and cells to reuse."""
