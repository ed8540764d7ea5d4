"""How runs begin and end: routed from events, started, finished, failed, cancelled.

May import ``waits`` and ``journal``.
"""
