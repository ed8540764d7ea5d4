"""Everything behind the ports in one process: a SQLite file (or memory) for state and queue, the machine's clock.

May import the ports, the documents, the data and the wire.
"""
