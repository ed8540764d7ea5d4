"""``crash_everywhere``: faults at every boundary, what they came to, and the report.

May import the other files of the test kit.
"""
