"""Flow control in SQLite: a file a port of ``flow_ports.py``.

May import ``local`` and the ports.
"""
