"""REST v2 (protocol 7.3), as far as it means something outside the hosted product; the rest says that it does not.

May import what ``api`` may, and what ``api`` shares with it.
"""
