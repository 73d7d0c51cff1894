"""Image captioning: a scene of small pictures to a sentence that says what is where, and how many."""
