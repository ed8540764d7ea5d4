"""Runs as people and clients see them: bodies, traces, a journal to take along.

May import the engine, the ports and what is below them.
"""
