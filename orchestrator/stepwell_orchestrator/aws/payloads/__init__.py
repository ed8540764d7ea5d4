"""Documents in S3: values too long for an item, answers too long for Lambda.

May import ``attribute_values.py``, ``service.py`` and the ports.
"""
