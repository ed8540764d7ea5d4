"""Composition roots: the only places that name a backend, read the environment, and draw entropy.

May import everything but ``cli``, and all of the adapter.
"""
