"""The ``stepwell`` command: what a person types and sees."""
