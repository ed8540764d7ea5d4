"""One call of a function: the request made for it, and what its reply or checkpoint decides.

May import all of the engine.
"""
