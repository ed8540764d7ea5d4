"""Limits at work: going through gates, the slots of a drive or a step, the start of a run that has limits.

May import what the worker may, and of the worker its driver and tools.
"""
