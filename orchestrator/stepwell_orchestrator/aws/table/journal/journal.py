"""The Journal port on DynamoDB and S3: the sum of its parts."""

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
from stepwell_orchestrator.aws.table.journal.retention_renewal import Renewal
from stepwell_orchestrator.aws.table.journal.runs import Runs
from stepwell_orchestrator.aws.table.journal.troubles import Troubles
from stepwell_orchestrator.aws.table.retention import Keeping
from stepwell_orchestrator.fresh_ids import Entropy


class DynamoJournal(Events, Runs, Leases, Commits, Claims, Listing, Renewal, Troubles):
    """Events, runs and their entries in one table, and what is too large for it in a bucket.

    The port says what each method promises. Each may raise AwsError or StoreError; then nobody knows what was done, and
    it may be done again. ``entropy`` tells this process's writes from others'.
    """

    def __init__(
        self, dynamodb: Service, blobs: Blobs, *, table: str, entropy: Entropy, keeping: Keeping | None = None
    ) -> None:
        super().__init__(Items(Table(dynamodb, table), blobs, keeping or Keeping()), entropy)
