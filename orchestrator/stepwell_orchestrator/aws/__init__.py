"""The ports on AWS: DynamoDB, S3, SQS, EventBridge Scheduler and Lambda."""
