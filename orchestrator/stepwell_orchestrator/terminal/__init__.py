"""How runs, values and times look in a terminal.

May import the ports, the data and the wire.
"""
