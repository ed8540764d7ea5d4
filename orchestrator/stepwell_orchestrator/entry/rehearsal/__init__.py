"""A deployment in this process, to be counted: the real handlers and backends, on moto and stand-ins."""
