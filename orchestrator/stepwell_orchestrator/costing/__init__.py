"""What workloads cost in AWS: the ledger of calls, capacity, prices, the bill.

May import the AWS backend and what is below it.
"""
