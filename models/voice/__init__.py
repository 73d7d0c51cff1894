"""Speech generation: number words, letter by letter, to the mel frames of one voice, and Griffin-Lim to sound."""
