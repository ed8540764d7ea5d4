"""The ports on AWS: DynamoDB, S3, SQS, EventBridge Scheduler and Lambda.

May import the ports, the documents, the data and the wire. Nothing else names boto3.
"""
