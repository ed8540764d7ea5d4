"""The Journal port on DynamoDB and S3: which concern answers for which of its methods."""

from __future__ import annotations

from stepwell_orchestrator.aws.payloads.blobs import Blobs
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table.dynamo import Table
from stepwell_orchestrator.aws.table.items import Items
from stepwell_orchestrator.aws.table.journal.claims import Claims
from stepwell_orchestrator.aws.table.journal.commits import Commits
from stepwell_orchestrator.aws.table.journal.events import Events
from stepwell_orchestrator.aws.table.journal.leases import Leases
from stepwell_orchestrator.aws.table.journal.listing import Listing
from stepwell_orchestrator.aws.table.journal.retention_renewal import RetentionRenewal
from stepwell_orchestrator.aws.table.journal.runs import Runs
from stepwell_orchestrator.aws.table.journal.troubles import Troubles
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.fresh_ids import Entropy


class DynamoJournal:
    """Events, runs and their entries in one table, and what is too large for it in a bucket.

    The port says what each method promises. Each may raise AwsError or StoreError; then nobody knows what was done, and
    it may be done again. ``entropy`` tells this process's writes from others'.

    Beyond the port, ``note_trouble`` writes on a run what its queue items fail by, and ``prune`` renews, as the sweep
    asks for it, what runs that wait for long would lose.
    """

    def __init__(
        self, dynamodb: Service, blobs: Blobs, *, table: str, entropy: Entropy, retention: Retention | None = None
    ) -> None:
        retention = retention or Retention()
        rows = Table(dynamodb, table)
        items = Items(rows, blobs, retention)

        events = Events(rows, items, retention, entropy)
        self.put_event = events.put_event
        self.get_event = events.get_event
        self.events_since = events.events_since

        runs = Runs(rows, items, retention, entropy)
        self.create_run = runs.create_run
        self.load = runs.load
        self.run_of = runs.run_of
        self.get_header = runs.get_header
        self.get_entry = runs.get_entry
        self.runs_of_event = runs.runs_of_event

        leases = Leases(rows, items, retention, entropy)
        self.acquire = leases.acquire
        self.renew = leases.renew
        self.wake = leases.wake
        self.release = leases.release
        self.expired_leases = leases.expired_leases

        self.commit = Commits(rows, items, retention, entropy).commit

        claims = Claims(rows, items, entropy)
        self.claim = claims.claim
        self.renew_claim = claims.renew_claim

        listing = Listing(rows, items)
        self.list_runs = listing.list_runs
        self.list_events = listing.list_events

        self.prune = RetentionRenewal(rows, items, retention, blobs).prune
        self.note_trouble = Troubles(rows).note_trouble
