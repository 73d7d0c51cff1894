"""What the wearer of a smart watch is doing: shoulder exercises, told while they go on."""
