"""The HTTP API: ingest, registration, queries and control (protocol 3, 7.1, 7.2). A file a noun."""
