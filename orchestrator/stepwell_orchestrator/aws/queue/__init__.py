"""The work queue: SQS, its dead letters, and the schedules of far timers.

May import ``service.py``, the documents and the ports.
"""
