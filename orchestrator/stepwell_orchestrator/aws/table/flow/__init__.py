"""Flow control in the table: a file a port of ``flow_ports.py``.

May import ``table`` and what is below it.
"""
