"""Expressions: CEL text compiled to closures over plain JSON, with the protocol's rules (protocol 8). Pure.

May import the data and the wire.
"""
