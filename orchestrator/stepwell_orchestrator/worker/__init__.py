"""The one worker: it loads, lets the engine decide, commits, then dispatches. It knows ports, never a backend.

May import controlling, accepting, the engine, the ports and what is below them.
"""

from stepwell_orchestrator.worker.worker import Worker

__all__ = ["Worker"]
