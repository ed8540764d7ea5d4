"""Durable step functions for Python."""
