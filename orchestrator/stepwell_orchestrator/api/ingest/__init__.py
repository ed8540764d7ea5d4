"""What the body of a request means: compressed bodies, HTML forms, and webhooks made into events (protocol 3.1).

May import what ``api`` may, and nothing of ``api``.
"""
