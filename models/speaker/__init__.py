"""Who is speaking: nine speakers told apart by one utterance of two Japanese vowels."""
