"""Composition roots: the only places that name a backend, read the environment, and draw entropy."""
