"""Everything behind the ports in one process: a SQLite file (or memory) for state and queue, the machine's clock."""
