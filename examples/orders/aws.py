"""The order-fulfilment example as an AWS Lambda function: what template.yaml deploys beside the engine."""

from __future__ import annotations

import stepwell.aws
from examples.orders.app import app

handler = stepwell.aws.handler(app)
