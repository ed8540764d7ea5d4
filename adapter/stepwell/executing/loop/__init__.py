"""The one place that looks inside asyncio: what tasks wait for, which tasks a function started.

May import steps and what is below them; nothing of ``executing`` itself.
"""
