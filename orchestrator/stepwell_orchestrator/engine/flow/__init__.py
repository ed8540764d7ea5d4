"""Flow control, as far as it is arithmetic: options read, keys evaluated, gates named, who may go on now.

May import ``runs``, ``waits`` and expressions.
"""
