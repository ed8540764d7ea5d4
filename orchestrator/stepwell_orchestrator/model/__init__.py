"""Frozen data the engine thinks in; a file a noun. Times are integer epoch milliseconds.

May import the wire and the errors.
"""
