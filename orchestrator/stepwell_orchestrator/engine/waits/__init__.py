"""What a run waits for: pauses, signals and queue items, and how each is resolved.

May import ``journal`` and expressions.
"""
