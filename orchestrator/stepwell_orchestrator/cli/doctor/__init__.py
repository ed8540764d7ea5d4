"""``stepwell doctor``: whether this machine can run Stepwell, and what to do where it cannot.

May import everything but the other commands' folders.
"""
