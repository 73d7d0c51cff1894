"""Video captioning: small pictures that move, one after the other, to a sentence that tells what happens."""
