"""Speech recognition: English number words, learned from synthetic voices, for the voices of people."""
