"""A deployment in this process, to be counted: the real handlers and backends, on moto and stand-ins.

May import what ``entry`` may, and the adapter's ``stepwell.aws``.
"""
