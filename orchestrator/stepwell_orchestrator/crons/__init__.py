"""When schedules tick, and how a zone's clocks change. Pure.

May import the wire and what is below it.
"""
