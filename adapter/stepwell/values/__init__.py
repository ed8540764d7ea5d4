"""User values in and out: events, JSON, results in their types, failures, checks on what an author writes.

May import the errors and the wire.
"""
