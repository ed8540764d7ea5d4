"""Model objects <-> the JSON documents that stores keep. What equals its default is left out.

What a store keeps beside the document, because it looks things up by it, is not repeated in it. A file a noun.

May import the model and the wire.
"""

from stepwell_orchestrator.documents.debounces import debounced_document, read_debounced
from stepwell_orchestrator.documents.entries import entry_document, read_entries, read_entry
from stepwell_orchestrator.documents.events import event_document, read_event
from stepwell_orchestrator.documents.functions import app_document, function_document, read_app, read_function
from stepwell_orchestrator.documents.halts import halts_document, read_halts
from stepwell_orchestrator.documents.pauses import pause_document, read_pause
from stepwell_orchestrator.documents.runs import (
    origin_document,
    outcome_document,
    progress_document,
    read_origin,
    read_outcome,
    read_progress,
)
from stepwell_orchestrator.documents.work import read_work, work_document

__all__ = [
    "app_document",
    "debounced_document",
    "entry_document",
    "event_document",
    "function_document",
    "halts_document",
    "origin_document",
    "outcome_document",
    "pause_document",
    "progress_document",
    "read_app",
    "read_debounced",
    "read_entries",
    "read_entry",
    "read_event",
    "read_function",
    "read_halts",
    "read_origin",
    "read_outcome",
    "read_pause",
    "read_progress",
    "read_work",
    "work_document",
]
