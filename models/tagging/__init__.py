"""What each word of an address is: letters, a bidirectional LSTM over words, and self-attention over all of them."""
