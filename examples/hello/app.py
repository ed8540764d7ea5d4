"""The smallest app: `stepwell dev examples.hello.app:app`, then `stepwell send hello/requested '{"name": "Ada"}'`."""

import stepwell

app = stepwell.App("hello")


async def look_up_name(name: str) -> str:
    """Stands for a query."""
    return name.title()


async def say(name: str) -> str:
    """Stands for a message."""
    return f"Hello, {name}!"


@app.function(on="hello/requested")
async def greet(ctx: stepwell.Context) -> str:
    """Look the name up, pause for effect, greet."""
    name = await ctx.step.run("look-up-name", look_up_name, ctx.event.data["name"])
    await ctx.step.sleep("pause", "2s")
    return await ctx.step.run("greet", say, name)
