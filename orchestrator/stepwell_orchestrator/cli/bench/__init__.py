"""``stepwell bench``: what Stepwell takes, counted on this machine.

May import everything but the other commands' folders.
"""
