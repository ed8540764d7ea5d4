"""What a run's journal says: places, attempts, memos, what changed during a call, writes applied.

May import the data; nothing else of the engine.
"""
