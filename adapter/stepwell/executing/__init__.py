"""One call of a function: its replay, the bodies of its steps, and the saving of what they gave.

May import authoring, middleware, steps and what is below them; ``loop/`` alone looks inside asyncio.
"""
