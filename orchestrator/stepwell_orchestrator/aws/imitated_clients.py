"""Clients for an AWS that is imitated in this process: made-up credentials, and no address from the environment."""

from __future__ import annotations

from typing import Any, Final

REGION: Final = "us-east-1"


def imitated_client(name: str) -> Any:
    """Make a service's client. Without an imitation behind it, the service refuses its credentials."""
    import botocore.session
    from botocore.config import Config

    return botocore.session.Session().create_client(
        name,
        region_name=REGION,
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up",  # noqa: S106 - it opens nothing
        config=Config(ignore_configured_endpoint_urls=True, retries={"total_max_attempts": 1}),
    )
