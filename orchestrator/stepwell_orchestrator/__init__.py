"""The engine and its edges: what runs durable functions. Installed by ``stepwell[orchestrator]``."""
