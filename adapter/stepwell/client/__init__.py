"""How an app reaches its server: settings, requests, what it sends, the run state it fetches.

May import values and what is below them.
"""
