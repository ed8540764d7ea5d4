"""What the Lambda functions of a deployment are made of; each is put together in a module of ``entry``.

May import what ``entry`` may.
"""
