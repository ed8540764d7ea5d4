"""Pure: one replay of a function, and how it differs from the journal. No I/O, no clock.

May import the wire and the errors.
"""
