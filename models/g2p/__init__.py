"""From letters to phonemes: how an English word is said, with additive attention and without."""
