"""An AWS account made of moto, as a server with the resources of a stack: told in a line of JSON, until its input ends.

python -m infra.local.account ADDRESS
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from infra.local.tools import ACCOUNT, REGION
from stepwell_orchestrator.aws.table.table import SCHEMA

EVENT_KEY = "sample-event-key"
SIGNING_KEY = "0a1b" * 16


def main(address: str) -> int:
    """Serve until nobody needs it any more."""
    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # Where CloudFormation is answered: a presigned URL of an object in AWS, here an object that anybody may write.
    client(url, "s3").create_bucket(Bucket="answers", ACL="public-read-write")
    told = {"answer_url": f"{url}/answers/answer", "variables": furnish(url)}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    server.stop()
    return 0


def furnish(url: str) -> dict[str, str]:
    """Make what a stack has; the functions' environment."""
    table, bucket, group = "stepwell", "stepwell-payloads", "stepwell"
    client(url, "dynamodb").create_table(TableName=table, **SCHEMA)
    client(url, "s3").create_bucket(Bucket=bucket)
    client(url, "scheduler").create_schedule_group(Name=group)
    sqs = client(url, "sqs")
    queues = {
        f"{prefix}QUEUE_{member}": value
        for prefix, name in (("", "stepwell"), ("DEAD_LETTER_", "stepwell-dead"))
        for member, value in made_queue(sqs, name).items()
    }
    secrets = client(url, "secretsmanager")
    return {
        **ACCOUNT,
        "AWS_ENDPOINT_URL": url,
        "STEPWELL_TABLE_NAME": table,
        "STEPWELL_PAYLOAD_BUCKET": bucket,
        **{f"STEPWELL_{name}": value for name, value in queues.items()},
        "STEPWELL_SCHEDULE_GROUP": group,
        "STEPWELL_SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/sample",
        "STEPWELL_EVENT_KEY_SECRET_ARN": secrets.create_secret(Name="event", SecretString=EVENT_KEY)["ARN"],
        "STEPWELL_SIGNING_KEY_SECRET_ARN": secrets.create_secret(Name="signing", SecretString=SIGNING_KEY)["ARN"],
        "STEPWELL_BASE_URL": "http://127.0.0.1:9",
        "STEPWELL_EVENT_KEY": EVENT_KEY,
        "STEPWELL_SIGNING_KEY": SIGNING_KEY,
    }


def made_queue(sqs: Any, name: str) -> dict[str, str]:
    """Where a new queue is, and its name everywhere."""
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return {"URL": url, "ARN": attributes["QueueArn"]}


def client(url: str, service: str) -> Any:
    """A client of that account."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCOUNT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCOUNT["AWS_SECRET_ACCESS_KEY"],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
