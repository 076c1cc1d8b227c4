"""OpenAI's Python SDK: every surface gives what upstream said, and upstream got what the SDK sent."""
import json

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from fixtures_upstream import SPEECH, SUBTITLES, load, raw
from same import plain, same, same_events

SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(256)) * 2000  # half a megabyte: does not fit into one message
PIXEL = bytes.fromhex("89504e470d0a1a0a") + b"\x00" * 64


@pytest.fixture
def client(base, key):
    with OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30) as c:
        yield c


def ask(text):
    return [{"role": "user", "content": text}]


# ---- chat ----


@pytest.mark.parametrize("name", ["plain", "tools", "tools_followup", "vision", "json_schema"])
def test_chat(client, name):
    r = client.chat.completions.create(**load(f"openai/chat_{name}.request.json"))
    same(r, f"openai/chat_{name}.response.json")
    assert r._request_id.startswith("req_") and r._request_id != "req_of_upstream"


def test_headers_of_upstream_that_are_shown(client):
    raw_answer = client.chat.completions.with_raw_response.create(**load("openai/chat_plain.request.json"))
    assert raw_answer.headers["x-router-provider"] == "openai"
    assert "set-cookie" not in raw_answer.headers
    assert raw_answer.headers["openai-version"] and raw_answer.headers["openai-processing-ms"].isdigit()


def test_what_the_router_does_not_know_passes_and_what_is_the_clients_does_not(client, last):
    body = load("openai/chat_plain.request.json")
    marked = [{"role": "user", "content": "[[fixture=openai/chat_plain.response.json]]", "x_part": [1, None, 1e-7]}]
    other = client.with_options(organization="org-client", project="proj_client", default_headers={"Cookie": "a=b", "X-Client-Request-Id": "mine"})
    other.chat.completions.create(**{**body, "messages": marked}, extra_body={"x_new": {"a": [True]}})
    assert last().json == {**body, "messages": marked, "x_new": {"a": [True]}}


class Place(BaseModel):
    city: str
    country: str


def test_chat_parse_helper(client, last):
    request = load("openai/chat_json_schema.request.json")
    request["messages"] = ask("[[fixture=openai/chat_json_schema.response.json]]")
    r = client.chat.completions.parse(**{**request, "response_format": Place})
    assert r.choices[0].message.parsed == Place(city="Lima", country="Peru")
    assert last().json["response_format"]["json_schema"]["schema"]["required"] == ["city", "country"]


@pytest.mark.parametrize("name", ["stream", "stream_tools"])
def test_chat_stream(client, name):
    chunks = list(client.chat.completions.create(**load(f"openai/chat_{name}.request.json")))
    same_events(chunks, f"openai/chat_{name}.sse")


def test_chat_stream_without_usage(client):
    request = load("openai/chat_stream.request.json")
    del request["stream_options"]
    same_events(client.chat.completions.create(**request), "openai/chat_stream_client_did_not_ask.sse")


def test_chat_stream_helper(client):
    request = load("openai/chat_stream_tools.request.json")
    del request["stream"]
    with client.chat.completions.stream(**request) as stream:
        kinds = [e.type for e in stream]
        r = stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert [c.function.arguments for c in r.choices[0].message.tool_calls] == ['{"city":"Lima"}', '{"city":"Oslo"}']
    assert (r.choices[0].finish_reason, r.usage.total_tokens) == ("tool_calls", 99)


def test_chat_error_in_a_stream(client):
    got = []
    with pytest.raises(openai.APIError) as e:
        for c in client.chat.completions.create(model="gpt-4o-mini", messages=ask("[[fixture=openai/chat_stream_error.sse]]"), stream=True):
            got.append(c.choices[0].delta.content)
    assert got == ["", "Partial"]
    assert (e.value.code, e.value.type) == ("upstream_stream_error", "server_error")


# ---- completions, embeddings, moderations, models ----


def test_completions(client):
    same(client.completions.create(**load("openai/completions.request.json")), "openai/completions.response.json")


def test_completions_stream(client):
    same_events(client.completions.create(**load("openai/completions.request.json"), stream=True), "openai/completions_stream.sse")


@pytest.mark.parametrize("kind", ["float", "base64"])
def test_embeddings(client, kind):
    same(client.embeddings.create(**load(f"openai/embeddings_{kind}.request.json")), f"openai/embeddings_{kind}.response.json")


def test_embeddings_of_the_sdks_own_format(client, last):
    request = load("openai/embeddings_float.request.json")
    del request["encoding_format"]
    r = client.embeddings.create(**request)
    assert last().json["encoding_format"] == "base64"
    assert [d.embedding for d in r.data] == [d["embedding"] for d in load("openai/embeddings_float.response.json")["data"]]


def test_moderations(client):
    same(client.moderations.create(**load("openai/moderations.request.json")), "openai/moderations.response.json")


def test_models(client):
    ids = {m.id: m for m in client.models.list()}
    assert ids["gpt-4o-mini"].object == "model" and ids["gpt-4o-mini"].owned_by
    assert plain(client.models.retrieve("gpt-4o-mini")) == plain(ids["gpt-4o-mini"])
    assert client.models.retrieve("openai/gpt-4o-mini").id == "openai/gpt-4o-mini"  # the SDK encodes the slash
    with pytest.raises(openai.NotFoundError) as e:
        client.models.retrieve("no/such")
    assert e.value.code == "model_not_found"


# ---- responses ----


def test_response(client):
    r = client.responses.create(**load("openai/responses.request.json"))
    same(r, "openai/responses.response.json")
    assert r.output_text and r._request_id.startswith("req_")


@pytest.mark.parametrize("name", ["stream", "stream_tool"])
def test_response_stream(client, name):
    same_events(client.responses.create(**load(f"openai/responses_{name}.request.json")), f"openai/responses_{name}.sse")


def test_response_stream_helper(client):
    request = load("openai/responses_stream.request.json")
    del request["stream"]
    with client.responses.stream(**request) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "¡Hola!"


def test_response_parse_helper(client):
    r = client.responses.parse(model="gpt-4o-mini", input="[[fixture=openai/responses.response.json]]")
    assert r.output_parsed is None and r.output_text


def test_response_that_fails_in_a_stream(client):
    marked = "[[fixture=openai/responses_stream_failed.sse]]"
    with pytest.raises(openai.InternalServerError) as e:  # nothing was produced: as if upstream had said so at once
        client.responses.create(model="gpt-4o-mini", input=marked, stream=True)
    assert (e.value.status_code, e.value.code) == (502, "upstream_error")
    assert "failed before producing output" in e.value.message


def test_response_that_fails_in_the_middle(client):
    got = list(client.responses.create(model="gpt-4o-mini", input="[[do=fail-late]]", stream=True))
    assert [e.delta for e in got if e.type == "response.output_text.delta"] == ["¡Ho", "la!"]
    assert got[-1].type == "response.failed"
    assert (got[-1].response.status, got[-1].response.error.code) == ("failed", "server_error")


def test_response_objects(client, last):
    r = client.responses.create(model="gpt-4o-mini", input="[[fixture=openai/responses.response.json]]")
    same(client.responses.retrieve(r.id, include=["message.output_text.logprobs"]), "openai/responses.response.json")
    assert (last().method, last().path) == ("GET", f"/responses/{r.id}")
    assert last().query.replace("%5B%5D", "[]") == "include[]=message.output_text.logprobs"
    items = client.responses.input_items.list(r.id, limit=5, order="asc")
    same(items, "openai/responses_input_items.response.json")
    assert last().query == "limit=5&order=asc"
    same(client.responses.cancel(r.id), "openai/responses.response.json")
    client.responses.delete(r.id)
    assert (last().method, last().path) == ("DELETE", f"/responses/{r.id}")


# ---- images, audio ----


def test_images(client):
    same(client.images.generate(**load("openai/images_generations.request.json")), "openai/images_generations.response.json")


@pytest.mark.parametrize("several", [False, True])
def test_image_edit(client, last, several):
    one = ("a.png", PIXEL, "image/png")
    r = client.images.edit(model="gpt-image-1", image=[one, ("b.png", PIXEL[::-1], "image/png")] if several else one, prompt="redder", n=1)
    same(r, "openai/images_generations.response.json")
    assert last().text("model") == "gpt-image-1" and last().text("prompt") == "redder"
    want = [("a.png", "image/png", PIXEL), ("b.png", "image/png", PIXEL[::-1])]
    assert last().parts["image[]" if several else "image"] == want[: 2 if several else 1]


def test_image_variation(client, last):
    same(client.images.create_variation(image=("a.png", PIXEL, "image/png")), "openai/images_generations.response.json")
    assert last().parts["image"][0][2] == PIXEL


def test_speech(client, last):
    r = client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello there.", response_format="mp3")
    assert r.content == SPEECH and r.response.headers["content-type"] == "audio/mpeg"
    assert last().json == {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there.", "response_format": "mp3"}


def test_speech_as_it_comes(client):
    with client.audio.speech.with_streaming_response.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello there.") as r:
        assert b"".join(r.iter_bytes(chunk_size=1000)) == SPEECH


def test_transcription(client, last):
    r = client.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe", file=("héllo.wav", SOUND, "audio/wav"), language="en", temperature=0.5, timestamp_granularities=["word", "segment"]
    )
    same(r, "openai/audio_transcription_json.response.json")
    assert last().parts["file"] == [("héllo.wav", "audio/wav", SOUND)]
    assert (last().text("model"), last().text("language"), last().text("temperature")) == ("gpt-4o-mini-transcribe", "en", "0.5")
    assert [p[2] for p in last().parts["timestamp_granularities[]"]] == [b"word", b"segment"]


def test_transcription_as_text(client):
    r = client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=("a.wav", SOUND), response_format="srt")
    assert r == SUBTITLES


def test_transcription_stream(client):
    r = client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=("a.wav", SOUND), stream=True)
    same_events(r, "openai/audio_transcription_stream.sse")


def test_translation(client, last):
    r = client.audio.translations.create(model="whisper-1", file=("a.wav", SOUND))
    assert r.text == "Hello there." and last().path == "/audio/translations"


# ---- files, batches ----


def test_files(client, last):
    f = client.files.create(
        file=("in.jsonl", raw("openai/batch_input.jsonl")), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    same(f, "openai/file.response.json")
    assert last().parts["file"][0][2] == raw("openai/batch_input.jsonl")
    assert (last().text("purpose"), last().text("expires_after[anchor]"), last().text("expires_after[seconds]")) == ("batch", "created_at", "3600")
    same(client.files.retrieve(f.id), "openai/file.response.json")
    assert client.files.content(f.id).content == raw("openai/batch_output.jsonl")
    assert [x.id for x in client.files.list(purpose="batch", limit=10)] == [f.id]
    assert client.files.delete(f.id).deleted is True


def test_batches(client, last):
    f = client.files.create(file=("in.jsonl", raw("openai/batch_input.jsonl")), purpose="batch")
    want = {"input_file_id": f.id, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"team": "a"}}
    b = client.batches.create(**want)
    same(b, "openai/batch.response.json")
    assert last().json == want
    same(client.batches.retrieve(b.id), "openai/batch.response.json")
    same(client.batches.cancel(b.id), "openai/batch.response.json")
    assert [x.id for x in client.batches.list(limit=2)] == [b.id]
    out = [json.loads(line) for line in client.files.content(b.output_file_id).text.splitlines()]
    assert out[0]["response"]["body"]["choices"][0]["message"]["content"] == "Hello!"


# ---- other providers behind the same client ----


def test_chat_of_anthropic(client):
    request = load("translate/chat_to_anthropic/1_openai.request.json")
    refused = ["metadata", "presence_penalty", "seed", "stop", "temperature"]  # what Messages has no counterpart for, or not of this value
    for _ in refused:
        with pytest.raises(openai.BadRequestError) as e:
            client.chat.completions.create(**request)
        refused.remove(e.value.param)
        assert e.value.code in ("unsupported_parameter", "unsupported_value")
        request.pop(e.value.param)
    request.update(stop=["END"], temperature=1.0)
    r = client.chat.completions.create(**request)
    same(r, "translate/chat_to_anthropic/4_openai.response.json", "created")


def test_chat_stream_of_anthropic(client):
    marked = ask("[[fixture=translate/anthropic_stream_to_chat/1_anthropic.sse]]")
    chunks = list(client.chat.completions.create(model="claude-sonnet-5", messages=marked, stream=True, stream_options={"include_usage": True}))
    same_events(chunks, "translate/anthropic_stream_to_chat/2_openai_include_usage.sse", "created")


def test_chat_error_in_a_stream_of_anthropic(client):
    with pytest.raises(openai.APIError) as e:
        list(client.chat.completions.create(model="claude-sonnet-5", messages=ask("[[fixture=anthropic/messages_stream_error.sse]]"), stream=True))
    assert "Overloaded" in e.value.message


def test_chat_of_gemini(client):
    r = client.chat.completions.create(**load("translate/chat_to_gemini/1_openai.request.json"))
    same(r, "translate/chat_to_gemini/4_openai.response.json", "created")
    r = client.chat.completions.create(**load("translate/chat_to_gemini/5_openai_followup.request.json"))
    assert r.choices[0].message.content == "Lima" and r.usage.total_tokens == 6


def test_chat_stream_of_gemini(client):
    marked = ask("[[fixture=gemini/stream.sse]]")
    with client.chat.completions.stream(model="gemini-3.8-flash", messages=marked, stream_options={"include_usage": True}) as stream:
        r = stream.get_final_completion()
    assert r.choices[0].message.content == "¡Hola!" and r.choices[0].finish_reason == "stop"
    assert (r.usage.prompt_tokens, r.usage.completion_tokens, r.usage.completion_tokens_details.reasoning_tokens) == (5, 13, 9)


def test_chat_of_a_model_that_wants_responses(client):
    r = client.chat.completions.create(**load("translate/chat_to_responses/1_openai_chat.request.json"))
    same(r, "translate/chat_to_responses/4_openai_chat.response.json", "created")


def test_response_of_anthropic(client):
    r = client.responses.create(model="claude-sonnet-5", input="[[fixture=anthropic/messages_plain.response.json]]", store=False)
    assert (r.status, r.output_text) == ("completed", "Lima")
    assert (r.usage.input_tokens, r.usage.input_tokens_details.cached_tokens, r.usage.output_tokens) == (1812, 1800, 5)


def test_response_stream_of_anthropic(client):
    marked = "[[fixture=anthropic/messages_stream.sse]]"
    with client.responses.stream(model="claude-sonnet-5", input=marked, store=False) as stream:
        got = list(stream)
        final = stream.get_final_response()
    assert [e.sequence_number for e in got] == list(range(len(got)))
    calls = [i for i in final.output if i.type == "function_call"]
    assert final.output_text == "Checking both."
    assert [json.loads(c.arguments) for c in calls] == [{"city": "Lima"}, {"city": "Oslo"}]
    assert final.usage.output_tokens == 118


def test_response_of_gemini(client):
    r = client.responses.create(model="gemini-3.8-flash", input="[[fixture=gemini/generate_tools.response.json]]", store=False)
    assert [(i.name, json.loads(i.arguments)) for i in r.output if i.type == "function_call"] == [("get_weather", {"city": "Lima"})]
