"""Documents in S3: values too long for an item, answers too long for Lambda.

May import ``service.py`` and the ports.
"""
