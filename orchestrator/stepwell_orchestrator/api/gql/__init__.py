"""The GraphQL API of dev tools and of the official SDKs' tests (protocol 7.4): one schema over the ports.

May import what ``api`` may, and what ``api`` shares with it.
"""
