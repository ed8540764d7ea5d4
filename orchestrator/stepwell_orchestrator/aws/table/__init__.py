"""One DynamoDB table: its shape, its items, what is registered and what is waited for.

May import ``payloads``, ``attribute_values.py``, ``service.py``, ``gather_limited.py`` and the ports.
"""
