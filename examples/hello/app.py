"""The smallest app: `stepwell dev examples.hello.app:app`, then `stepwell send hello/requested '{"name": "Ada"}'`."""

import stepwell

app = stepwell.App("hello")


@app.function(on="hello/requested")
async def greet(ctx: stepwell.Context) -> str:
    """Look the name up, pause for effect, greet."""
    name = await ctx.step.run("look-up-name", str.title, ctx.event.data["name"])
    await ctx.step.sleep("pause", "2s")
    return await ctx.step.run("greet", "Hello, {}!".format, name)
