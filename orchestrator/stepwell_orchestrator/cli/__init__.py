"""The ``stepwell`` command: what a person types and sees.

May import everything. A command that needs several files has a folder.
"""
