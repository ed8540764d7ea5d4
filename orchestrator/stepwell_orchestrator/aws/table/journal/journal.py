"""The Journal port on DynamoDB and S3: the sum of its parts."""

from __future__ import annotations

from stepwell_orchestrator.aws.blobs import Blobs
from stepwell_orchestrator.aws.claims import Claims
from stepwell_orchestrator.aws.commits import Commits
from stepwell_orchestrator.aws.dynamo import Table
from stepwell_orchestrator.aws.events import Events
from stepwell_orchestrator.aws.items import Items
from stepwell_orchestrator.aws.keeping import Keeping
from stepwell_orchestrator.aws.leases import Leases
from stepwell_orchestrator.aws.listing import Listing
from stepwell_orchestrator.aws.renewal import Renewal
from stepwell_orchestrator.aws.runs import Runs
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.troubles import Troubles
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
