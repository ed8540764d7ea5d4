"""One file an opcode: what its report adds to a run. Each returns a Change, and none knows of the others.

May import ``runs``, ``waits`` and ``journal``.
"""
