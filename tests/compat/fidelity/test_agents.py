"""OpenAI's agents framework with its tool loop, through the router: both of OpenAI's APIs, and Anthropic behind them."""
import asyncio
import json

import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai import AsyncOpenAI

QUIET = RunConfig(tracing_disabled=True)


@function_tool
def get_weather(city: str, unit: str = "c") -> str:
    """Current weather for a city"""
    return f"19 {unit} in {city}"


def run(base, key, kind, model, streamed=False):
    async def all_of_it():
        async with AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30) as client:
            agent = Agent(name="helper", instructions="Be brief.", tools=[get_weather], model=kind(model=model, openai_client=client))
            if not streamed:
                return await Runner.run(agent, "[[do=agent]]", run_config=QUIET), ""
            got, text = Runner.run_streamed(agent, "[[do=agent]]", run_config=QUIET), ""
            async for e in got.stream_events():
                if e.type == "raw_response_event" and e.data.type == "response.output_text.delta":
                    text += e.data.delta
            return got, text

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("streamed", [False, True])
def test_chat(base, key, last, streamed):
    got, text = run(base, key, OpenAIChatCompletionsModel, "gpt-4o-mini", streamed)
    assert got.final_output == ("¡Hola!" if streamed else "Lima: 19 °C and cloudy. Oslo: -2 °C with snow.")
    assert text == ("¡Hola!" if streamed else "")
    results = {m["tool_call_id"]: m["content"] for m in last().json["messages"] if m["role"] == "tool"}
    assert results == {"call_fxA1": "19 c in Lima", "call_fxB2": "19 c in Oslo"}


@pytest.mark.parametrize("streamed", [False, True])
def test_responses(base, key, last, streamed):
    got, text = run(base, key, OpenAIResponsesModel, "gpt-4o-mini", streamed)
    assert got.final_output == ("¡Hola!" if streamed else "Lima") and text in ("", got.final_output)
    results = [(i["call_id"], i["output"]) for i in last().json["input"] if i.get("type") == "function_call_output"]
    assert results == [("call_fxA1", "19 c in Lima")]


@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
def test_of_anthropic(base, key, last, kind):
    got, _ = run(base, key, kind, "claude-sonnet-5")
    assert got.final_output == "Lima"
    blocks = [b for m in last().json["messages"] for b in m["content"] if isinstance(b, dict)]
    assert [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"] == [("get_weather", {"city": c}) for c in ("Lima", "Oslo")]
    results = {b["tool_use_id"]: json.dumps(b["content"]) for b in blocks if b["type"] == "tool_result"}
    assert list(results) == ["toolu_fxA1", "toolu_fxB2"] and "19 c in Oslo" in results["toolu_fxB2"]
