"""``stepwell replay-check``: recorded journals against the code as it is now.

May import everything but the other commands' folders.
"""
