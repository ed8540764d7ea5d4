"""The queue from the other side: what Lambda's event source and EventBridge Scheduler do with it, by hand."""

from __future__ import annotations

from typing import Any

from stepwell_orchestrator.aws.queue.messages import Delivery, receive
from tests.orchestrator.aws.bed import Bed

Record = dict[str, Any]


def take_records(bed: Bed, limit: int = 10) -> list[Record]:
    """Receive what is visible, as the records of a Lambda event."""
    reply = bed.clients["sqs"].receive_message(
        QueueUrl=bed.names.queue_url, MaxNumberOfMessages=limit, MessageSystemAttributeNames=["All"]
    )
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": bed.names.queue_arn,
        }
        for message in reply.get("Messages", ())
    ]


def take(bed: Bed) -> list[Delivery]:
    """Receive what is visible: all of it are queue items."""
    received = []
    while records := take_records(bed):
        received += [receive(record) for record in records]
    assert all(isinstance(one, Delivery) for one in received), received
    return received


def done(bed: Bed, receipt_handle: str) -> None:
    """Delete a message, as the event source does when it was not reported as failed."""
    bed.clients["sqs"].delete_message(QueueUrl=bed.names.queue_url, ReceiptHandle=receipt_handle)


def fire_due_schedules(bed: Bed, *, late_ms: int = 0) -> int:
    """Send the messages of the schedules that were due ``late_ms`` ago; how many."""
    fired = bed.fire_schedules(bed.clock.now_ms() - late_ms)
    for one in fired:
        assert one.target["Arn"] == bed.names.queue_arn
        bed.clients["sqs"].send_message(QueueUrl=bed.names.queue_url, MessageBody=one.target["Input"])
    return len(fired)
