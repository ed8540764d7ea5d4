"""What comes in: events, registrations and checkpoints, checked and then stored.

May import the engine, the ports and what is below them.
"""
