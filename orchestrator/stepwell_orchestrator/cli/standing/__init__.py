"""What keeps runs from running: pausing, draining and resuming functions and apps, and asking why.

May import what the commands may.
"""
