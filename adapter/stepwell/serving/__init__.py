"""One request in, one response out: the handler, and the shells around it.

May import everything but the doors.
"""
