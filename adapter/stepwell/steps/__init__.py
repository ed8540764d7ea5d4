"""What an author calls: ``step.*``, one file a kind, with the context and the models to infer with.

May import replaying, values and what is below them.
"""
