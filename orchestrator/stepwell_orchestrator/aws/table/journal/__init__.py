"""The Journal port on the table, a file for each of its concerns.

May import ``table`` and what is below it.
"""
