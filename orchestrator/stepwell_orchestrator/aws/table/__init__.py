"""One DynamoDB table: its shape, its items, what is registered and what is waited for.

May import ``payloads``, ``service.py`` and the ports.
"""
