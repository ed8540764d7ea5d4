"""The table's shape: its keys, its indexes and what it forgets. The deployed table and the tests' are made of this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PK: Final = "pk"
SK: Final = "sk"
TTL: Final = "t"
"""When DynamoDB may remove an item: epoch seconds."""

LISTING: Final = "listing"
"""Runs and events, newest first by id: one entry each, written when they are created and never moved."""
LISTED_UNDER: Final = "l"
"""What is listed, and its shard. An entry's place in it is ``pk``."""

LEASES: Final = "leases"
"""Runs whose drive lease is held and was renewed, wished for or taken over, by the time at which it ends."""
LEASED_UNDER: Final = "x"
"""The shard."""
LEASE_UNTIL: Final = "u"

APP: Final = "a"
FUNCTION: Final = "f"
NAME: Final = "n"
CREATED: Final = "c"
"""What a listing filters by before it reads the item: never changed once written, or the index would be."""

SCHEMA: Final[Mapping[str, Any]] = {
    "AttributeDefinitions": [
        {"AttributeName": PK, "AttributeType": "S"},
        {"AttributeName": SK, "AttributeType": "S"},
        {"AttributeName": LISTED_UNDER, "AttributeType": "S"},
        {"AttributeName": LEASED_UNDER, "AttributeType": "S"},
        {"AttributeName": LEASE_UNTIL, "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": PK, "KeyType": "HASH"},
        {"AttributeName": SK, "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": LISTING,
            "KeySchema": [
                {"AttributeName": LISTED_UNDER, "KeyType": "HASH"},
                {"AttributeName": PK, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": [APP, FUNCTION, NAME, CREATED]},
        },
        {
            "IndexName": LEASES,
            "KeySchema": [
                {"AttributeName": LEASED_UNDER, "KeyType": "HASH"},
                {"AttributeName": LEASE_UNTIL, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""What CreateTable and CloudFormation's AWS::DynamoDB::Table both call these things."""

TTL_SPECIFICATION: Final[Mapping[str, Any]] = {"AttributeName": TTL, "Enabled": True}
