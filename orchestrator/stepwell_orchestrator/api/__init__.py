"""The HTTP API: ingest, registration, queries and control (protocol 3, 7.1, 7.2). A file a noun.

May import controlling, accepting, views, the engine, the ports and what is below them; never a backend.
"""
