"""What a schedule's tick is: its event, its time, and whether it still counts when it is late.

May import ``journal``, ``waits``, and crons.
"""
