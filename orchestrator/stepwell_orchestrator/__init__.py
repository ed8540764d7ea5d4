"""The engine and its edges: what runs durable functions. Installed by ``stepwell[orchestrator]``.

May import, of the adapter, the wire and the errors; ``entry`` and ``cli`` alone see the rest.
"""
