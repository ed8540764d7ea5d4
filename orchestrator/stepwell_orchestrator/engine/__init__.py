"""The pure engine: journal and input in, decision out. No I/O, clock, randomness or environment."""
