"""The wire protocol: the one codec both ends use. Pure; no I/O, clock or environment.

May import the errors.
"""
