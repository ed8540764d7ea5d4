"""Agent libraries run in a function as they are: their tasks wait for steps, and a call ends when all of them do."""

from __future__ import annotations

from typing import Any, TypedDict

import agents
import pydantic_ai
from agents.models.interface import Model, ModelProvider
from langgraph.graph import END, START, StateGraph
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import stepwell
from stepwell.testing import Engine

CITIES = ("Lisbon", "Porto")


async def forecast(city: str) -> str:
    return f"sun in {city}"


async def completed(engine: Engine, app: stepwell.App) -> Any:
    """The run of the app's one function, once it has ended; it sleeps in the end, so that all of it is replayed."""
    engine.serve(app)
    run = await engine.send_one("asked", {})
    await engine.advance("1h")
    assert run.completed, run.error
    return run


async def test_langgraph_runs_parallel_nodes(engine: Engine) -> None:
    """Two nodes of a LangGraph graph run as parallel steps, and the node that joins them sees both."""

    class State(TypedDict, total=False):
        left: str
        right: str
        both: str

    app = stepwell.App("graphs")

    @app.function(id="ask", on="asked", retries=0)
    async def ask(ctx: stepwell.Context) -> str:
        async def left(_state: State) -> State:
            return {"left": await ctx.step.run("left", forecast, "Lisbon")}

        async def right(_state: State) -> State:
            return {"right": await ctx.step.run("right", forecast, "Porto")}

        async def join(state: State) -> State:
            return {"both": f"{state['left']}, {state['right']}"}

        graph = StateGraph(State)
        graph.add_node("left", left)
        graph.add_node("right", right)
        graph.add_node("join", join)
        for name in ("left", "right"):
            graph.add_edge(START, name)
            graph.add_edge(name, "join")
        graph.add_edge("join", END)
        state = await graph.compile().ainvoke({})
        await ctx.step.sleep("nap", "1m")
        return str(state["both"])

    run = await completed(engine, app)

    assert run.output == "sun in Lisbon, sun in Porto"
    assert sorted(step.name for step in run.steps) == ["left", "nap", "right"]


async def test_pydantic_ai_runs_parallel_tools(engine: Engine) -> None:
    """Two tools that a Pydantic AI agent calls at once run as parallel steps."""
    app = stepwell.App("assistants")

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        told = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if told:
            return ModelResponse(parts=[TextPart(", ".join(str(part.content) for part in told))])
        return ModelResponse(parts=[ToolCallPart("weather", {"city": city}) for city in CITIES])

    @app.function(id="ask", on="asked", retries=0)
    async def ask(ctx: stepwell.Context) -> str:
        agent = pydantic_ai.Agent(FunctionModel(answer))

        @agent.tool_plain
        async def weather(city: str) -> str:
            return str(await ctx.step.run(f"weather-{city}", forecast, city))

        result = await agent.run("How is it?")
        await ctx.step.sleep("nap", "1m")
        return str(result.output)

    run = await completed(engine, app)

    assert run.output == "sun in Lisbon, sun in Porto"
    assert sorted(step.name for step in run.steps) == ["nap", "weather-Lisbon", "weather-Porto"]


class StandInModel(Model):
    """Asks for the weather in both cities, then says what it was told."""

    async def get_response(self, *given: Any, **named: Any) -> agents.ModelResponse:
        conversation = named["input"] if "input" in named else given[1]
        told = [item for item in conversation if item.get("type") == "function_call_output"]
        output: list[Any] = [
            ResponseFunctionToolCall(
                call_id=city, name="weather", arguments=f'{{"city": "{city}"}}', type="function_call"
            )
            for city in CITIES
        ]
        if told:
            text = ResponseOutputText(
                text=", ".join(item["output"] for item in told), type="output_text", annotations=[]
            )
            output = [
                ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
            ]
        return agents.ModelResponse(output=output, usage=agents.Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing here streams")


class StandInProvider(ModelProvider):
    """Gives the stand-in, whatever model is asked for."""

    def get_model(self, model_name: str | None) -> Model:
        return StandInModel()


async def test_openai_agents_runs_parallel_tools(engine: Engine) -> None:
    """Two tools that an agent of the OpenAI Agents SDK calls at once run as parallel steps."""
    agents.set_tracing_disabled(disabled=True)
    app = stepwell.App("helpers")

    @app.function(id="ask", on="asked", retries=0)
    async def ask(ctx: stepwell.Context) -> str:
        @agents.function_tool
        async def weather(city: str) -> str:
            return str(await ctx.step.run(f"weather-{city}", forecast, city))

        agent = agents.Agent(name="helper", tools=[weather])
        config = agents.RunConfig(model_provider=StandInProvider())
        result = await agents.Runner.run(agent, [{"role": "user", "content": "How is it?"}], run_config=config)
        await ctx.step.sleep("nap", "1m")
        return str(result.final_output)

    run = await completed(engine, app)

    assert run.output == "sun in Lisbon, sun in Porto"
    assert sorted(step.name for step in run.steps) == ["nap", "weather-Lisbon", "weather-Porto"]
