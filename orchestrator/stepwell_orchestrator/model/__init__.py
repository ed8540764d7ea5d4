"""Frozen data the engine thinks in; a file a noun. Times are integer epoch milliseconds."""
