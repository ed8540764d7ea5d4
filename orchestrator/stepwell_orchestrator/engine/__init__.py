"""The pure engine: journal and input in, decision out. No I/O, clock, randomness or environment.

May import the data, the ports' types, expressions and the wire; its rooms, each those named before it: ``journal``,
``waits``, ``runs``, ``opcodes``, ``calls``.
"""
