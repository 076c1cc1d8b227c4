"""An upstream of OpenAI's, Anthropic's and Gemini's kind that answers from tests/fixtures.

A request's body has to be one of the fixtures' (what a vendor's SDK sends, or what it has to become in another dialect): its
answer is the fixture's then. What no fixture has is asked for by a marker in the prompt:
[[fixture=openai/chat_stream_error.sse]], [[error=rate_limit_rpm]] (a case of openai/errors.json),
[[claude=overloaded]] (one of CASES_OF_ANTHROPIC), [[do=garbage|slow|drop|fail-late|agent]].

Everything that was forwarded is kept (requests), and what the router should not have sent so is a fault (faults). Node's
tests get both from GET /__seen, which also forgets them.
"""
import email.parser
import email.policy
import http.server
import json
import pathlib
import re
import socket
import threading
import time

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
KEYS = {"openai": "sk-upstream-of-openai", "anthropic": "sk-upstream-of-anthropic", "gemini": "key-upstream-of-gemini"}
AUTH = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}
AUTH_NAMES = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")
NOT_FORWARDED = re.compile(r"x-stainless-.*|openai-organization|openai-project|cookie|x-router-.*|idempotency-key|accept-encoding")
CLIENT_KEY = "sk-or-"  # every key of ours begins so
MARKER = re.compile(rb"\[\[(fixture|error|claude|do)=([\w./-]+)\]\]")
SLOW_S = 7  # longer than ROUTER_ENV waits for a first byte
SPEECH = bytes(range(256)) * 300  # not text, and more than one piece
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello there.\n"

# Errors in Anthropic's words, [[claude=NAME]]: status and type upstream, then those that the client is to see.
CASES_OF_ANTHROPIC = {
    "invalid": (400, "invalid_request_error", 400, "invalid_request_error"),
    "key": (401, "authentication_error", 502, "api_error"),
    "billing": (402, "billing_error", 502, "api_error"),
    "permission": (403, "permission_error", 502, "api_error"),
    "not_found": (404, "not_found_error", 404, "not_found_error"),
    "too_large": (413, "request_too_large", 413, "request_too_large"),
    "rate": (429, "rate_limit_error", 429, "rate_limit_error"),
    "api": (500, "api_error", 500, "api_error"),
    "overloaded": (529, "overloaded_error", 529, "overloaded_error"),
}

# What a router in front of it is started with, besides addresses and keys.
ROUTER_ENV = {"UPSTREAM_FIRST_BYTE_MS": "5000", "UPSTREAM_ANSWER_MS": "5000", "MAX_BODY_BYTES": "1048576", "UPSTREAM_HEALTH": "ignore"}
# Models of the tests that have no price of the router's own.
UNPRICED = ("gpt-3.5-turbo-instruct", "gpt-image-1", "dall-e-2", "whisper-1", "gpt-4o-mini-tts")

# (dialect, path) -> fixtures whose request may come and the answer to it. A name without an ending: NAME.request.json
# and NAME.response.json, or NAME.sse for a stream.
JSON_CALLS = {
    ("openai", "/chat/completions"): [
        *(f"openai/chat_{n}" for n in ("plain", "tools", "tools_followup", "vision", "json_schema", "stream", "stream_tools")),
        ("translate/messages_to_openai/2_openai.request.json", "translate/messages_to_openai/3_openai.response.json"),
    ],
    ("openai", "/completions"): ["openai/completions", ("openai/completions.request.json", "openai/completions_stream.sse")],
    ("openai", "/responses"): [
        "openai/responses",
        "openai/responses_stream",
        "openai/responses_stream_tool",
        ("translate/chat_to_responses/2_responses.request.json", "translate/chat_to_responses/3_responses.response.json"),
    ],
    ("openai", "/embeddings"): ["openai/embeddings_float", "openai/embeddings_base64"],
    ("openai", "/moderations"): ["openai/moderations"],
    ("openai", "/images/generations"): ["openai/images_generations"],
    ("anthropic", "/v1/messages"): [
        *(f"anthropic/messages_{n}" for n in ("plain", "tools", "stream")),
        ("anthropic/messages_tools_followup.request.json", "anthropic/messages_plain.response.json"),
        ("translate/chat_to_anthropic/2_anthropic.request.json", "translate/chat_to_anthropic/3_anthropic.response.json"),
    ],
    ("anthropic", "/v1/messages/count_tokens"): ["anthropic/count_tokens"],
    ("gemini", "/v1beta/models/gemini-3.8-flash:generateContent"): [
        "gemini/generate_plain",
        "gemini/generate_tools",
        ("translate/chat_to_gemini/6_gemini_followup.request.json", "gemini/generate_plain.response.json"),
    ],
}

# Of OpenAI: method, path, fixture.
OBJECT_CALLS = [
    ("GET", r"/responses/resp_\w+", "openai/responses.response.json"),
    ("DELETE", r"/responses/resp_\w+", "openai/responses_delete.response.json"),
    ("POST", r"/responses/resp_\w+/cancel", "openai/responses.response.json"),
    ("GET", r"/responses/resp_\w+/input_items", "openai/responses_input_items.response.json"),
    ("POST", r"/files", "openai/file.response.json"),
    ("GET", r"/files/file-\w+", "openai/file.response.json"),
    ("GET", r"/files/file-\w+/content", "openai/batch_output.jsonl"),
    ("POST", r"/batches", "openai/batch.response.json"),
    ("GET", r"/batches/batch_\w+", "openai/batch.response.json"),
    ("POST", r"/batches/batch_\w+/cancel", "openai/batch.response.json"),
    ("POST", r"/images/(edits|variations)", "openai/images_generations.response.json"),
]
LISTS = {"/files": "openai/file.response.json", "/batches": "openai/batch.response.json"}


def raw(name):
    return (FIXTURES / name).read_bytes()


def load(name):
    return json.loads(raw(name))


def events(name):
    """The data of a recorded stream's events, without [DONE]."""
    data = [line[5:].strip() for line in raw(name).decode().splitlines() if line.startswith("data:")]
    return [json.loads(d) for d in data if d != "[DONE]"]


def cases():
    return load("openai/errors.json")


def listed(item):
    return {"object": "list", "data": [item], "first_id": item["id"], "last_id": item["id"], "has_more": False}


class Seen:
    """A request as it came. parts: of a multipart body, name -> list of (file name, type, bytes)."""

    def __init__(self, method, path, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.path, _, self.query = path.partition("?")
        _, self.dialect, rest = self.path.split("/", 2) if self.path.count("/") > 1 else ("", "", "")
        self.path = "/" + rest
        if self.dialect == "openai":
            self.path = self.path.removeprefix("/v1")
        kind = headers.get("content-type", "")
        self.json = self.parts = None
        self.faults = []  # what is wrong with the body
        if kind.startswith("application/json") and body:
            try:
                self.json = json.loads(body)
            except ValueError:
                self.faults.append(f"a body that is no JSON: {body[:200]!r}")
        elif kind.startswith("multipart/form-data"):
            self.parts = self.form(kind)

    def form(self, kind):
        mark = b"--" + re.search(r'boundary="?([^";]+)', kind).group(1).encode()
        pieces = (b"\r\n" + self.body).split(b"\r\n" + mark)
        if pieces[0] or not pieces[-1].startswith(b"--"):
            self.faults.append(f"a multipart body without its borders: {self.body[:100]!r} … {self.body[-100:]!r}")
        parts = {}
        for piece in pieces[1:-1]:
            head, _, data = piece.partition(b"\r\n\r\n")
            head = email.parser.BytesHeaderParser(policy=email.policy.HTTP).parsebytes(head.lstrip() + b"\r\n")
            name = head.get_param("name", header="content-disposition")
            parts.setdefault(name, []).append((head.get_filename(), head.get_content_type(), data))
        return parts

    def text(self, name):
        return self.parts[name][0][2].decode()

    def plain(self):
        form = {k: [[f, t, b.decode("latin-1")] for f, t, b in v] for k, v in (self.parts or {}).items()}
        return {"method": self.method, "dialect": self.dialect, "path": self.path, "query": self.query,
                "headers": self.headers, "json": self.json, "parts": form}


def wrong(seen):
    """What the router should not have sent so."""
    key = KEYS.get(seen.dialect)
    if not key:
        yield f"{seen.path} is no path of an API"
        return
    auth = AUTH[seen.dialect]
    want = f"Bearer {key}" if auth == "authorization" else key
    if seen.headers.get(auth) != want:
        yield f"{auth}: {seen.headers.get(auth)}"
    for name, value in seen.headers.items():
        if (name in AUTH_NAMES and name != auth) or NOT_FORWARDED.fullmatch(name):
            yield f"forwarded {name}: {value}"
        if CLIENT_KEY in value:
            yield f"{name} has the client's key"
    if CLIENT_KEY.encode() in seen.body:
        yield "the body has the client's key"
    yield from seen.faults
    if seen.dialect == "anthropic" and not seen.headers.get("anthropic-version"):
        yield "no anthropic-version"
    if seen.json is not None and seen.path in ("/chat/completions", "/completions") and seen.json.get("stream"):
        if (seen.json.get("stream_options") or {}).get("include_usage") is not True:
            yield "a stream without usage"


def files_of(row, stream):
    if isinstance(row, tuple):
        return row
    answer = f"{row}.sse" if stream and (FIXTURES / f"{row}.sse").exists() else f"{row}.response.json"
    return f"{row}.request.json", answer


def is_stream(seen):
    return bool(seen.json and seen.json.get("stream"))


def by_body(seen):
    """The answer to the fixture's request that this one is; None = it is none."""
    body = dict(seen.json)
    if seen.path == "/completions" and body.pop("stream", None):
        body.pop("stream_options", None)
    for row in JSON_CALLS.get((seen.dialect, seen.path), ()):
        request, answer = files_of(row, is_stream(seen))
        if load(request) == body and (answer.endswith(".sse") == is_stream(seen)):
            return answer
    return None


def nearest(seen):
    """How the body differs from the fixture that is most like it: member, ours, the fixture's."""
    diffs = []
    for row in JSON_CALLS.get((seen.dialect, seen.path), ()) if seen.json is not None else ():
        want = load(files_of(row, is_stream(seen))[0])
        diffs.append([(k, seen.json.get(k), want.get(k)) for k in {**want, **seen.json} if seen.json.get(k) != want.get(k)])
    return min(diffs, key=len, default=None)


def sound(seen):
    """Transcriptions: the format asked for decides."""
    if "stream" in seen.parts and seen.text("stream") == "true":
        return 200, "text/event-stream", raw("openai/audio_transcription_stream.sse")
    if "response_format" in seen.parts and seen.text("response_format") in ("srt", "text", "vtt"):
        return 200, "text/plain; charset=utf-8", SUBTITLES.encode()
    return 200, "application/json", raw("openai/audio_transcription_json.response.json")


def by_path(seen):
    """(status, content type, body) of what is no JSON call; None = there is no such path."""
    if seen.dialect != "openai":
        return None
    if seen.path == "/audio/speech":
        return 200, "audio/mpeg", SPEECH
    if re.fullmatch(r"/audio/(transcriptions|translations)", seen.path) and seen.parts:
        return sound(seen)
    if seen.method == "GET" and seen.path in LISTS:
        return 200, "application/json", json.dumps(listed(load(LISTS[seen.path]))).encode()
    if seen.method == "DELETE" and seen.path.startswith("/files/"):
        return 200, "application/json", json.dumps({"id": seen.path[7:], "object": "file", "deleted": True}).encode()
    for method, path, name in OBJECT_CALLS:
        if seen.method == method and re.fullmatch(path, seen.path):
            return 200, "application/octet-stream" if name.endswith("jsonl") else "application/json", raw(name)
    return None


def fails_late():
    """A Response's stream that fails when some of its text is out."""
    good, bad = (raw(f"openai/responses_stream{n}.sse") for n in ("", "_failed"))
    begun = good[: good.index(b"event: response.output_text.done")]
    n = begun.count(b"event: ")
    return begun + re.sub(rb'"sequence_number":\d+', b'"sequence_number":%d' % n, bad[bad.index(b"event: response.failed") :])


def agent(seen):
    """The fixture that a loop of tool calls is answered with: calls, then a text once their results are there."""
    said = seen.json.get("messages") or seen.json.get("input")
    if seen.path == "/responses":
        done = any(i.get("type") == "function_call_output" for i in said)
        if is_stream(seen):
            return "text/event-stream", raw("openai/responses_stream.sse" if done else "openai/responses_stream_tool.sse")
        whole = load("openai/responses.response.json") if done else events("openai/responses_stream_tool.sse")[-1]["response"]
        return "application/json", json.dumps(whole).encode()
    if seen.dialect == "anthropic":
        done = any(b["type"] == "tool_result" for m in said if isinstance(m["content"], list) for b in m["content"])
        return "application/json", raw(f"anthropic/messages_{'plain' if done else 'tools'}.response.json")
    done = any(m["role"] == "tool" for m in said)
    if is_stream(seen):
        return "text/event-stream", raw("openai/chat_stream.sse" if done else "openai/chat_stream_tools.sse")
    return "application/json", raw(f"openai/chat_tools{'_followup' if done else ''}.response.json")


def answer_to(seen):
    """(status, headers, body). A status of 0 = close without an answer."""
    mark = MARKER.search(seen.body)
    what, name = (m.decode() for m in mark.groups()) if mark else (None, None)
    if what == "do" and name == "drop":
        return 0, {}, b""
    if what == "do" and name == "slow":
        time.sleep(SLOW_S)
    if what == "do" and name == "garbage":
        return 200, {"content-type": "application/json"}, b"<html>not an API</html>"
    if what == "do" and name == "agent":
        kind, answer = agent(seen)
        return 200, {"content-type": kind}, answer
    if what == "do" and name == "fail-late":
        return 200, {"content-type": "text/event-stream"}, fails_late()
    if what == "claude":
        status, kind = CASES_OF_ANTHROPIC[name][:2]
        said = {"type": "error", "error": {"type": kind, "message": f"{name} of upstream"}, "request_id": "req_of_upstream"}
        return status, {"content-type": "application/json", **({"retry-after": "1"} if status == 429 else {})}, json.dumps(said).encode()
    if what == "error":
        case = next(c for c in cases() if c["name"] == name)
        return case["status"], {"content-type": "application/json", **case["headers"]}, json.dumps(case["body"]).encode()
    if what != "fixture":
        name = by_body(seen) if seen.json is not None else None
    if name:
        kind = "text/event-stream" if name.endswith(".sse") else "application/json"
        status = int(s.group(1)) if (s := re.search(r"error_(?:\w+_)?(\d{3})\.", name)) else 200
        return status, {"content-type": kind}, raw(name)
    got = by_path(seen)
    if got:
        return got[0], {"content-type": got[1]}, got[2]
    case = next(c for c in cases() if c["name"] == "unknown_url")
    return 404, {"content-type": "application/json"}, json.dumps(case["body"]).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the router has hung up: its tests say whether it should have
            self.close_connection = True

    def read_body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while n := int(self.rfile.readline(), 16):
            body += self.rfile.read(n)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def refuse_early(self):
        """503 while the body is still coming; what comes after that is read and forgotten."""
        self.rfile.read(100000)
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read1(65536):
            pass

    def handle_any(self):
        up = self.server.upstream
        if up.refuse_early > 0:
            up.refuse_early -= 1
            self.refuse_early()
            return
        body = self.read_body()
        if self.path == "/__seen":
            self.give(200, {"content-type": "application/json"}, json.dumps(up.take()).encode())
            return
        seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        status, headers, answer = (up.batches and up.batches.answer(seen)) or answer_to(seen)
        faults = list(wrong(seen))
        if status == 404 and not MARKER.search(body):
            faults.append(f"no fixture: {seen.method} {seen.dialect} {seen.path} {nearest(seen) or body[:3000]}")
        up.note(seen, faults)
        if status == 0:
            self.close_connection = True
            return
        self.give(status, headers, answer)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = do_HEAD = handle_any

    def give(self, status, headers, body):
        self.send_response(status)
        for k, v in {"x-request-id": "req_of_upstream", "set-cookie": "upstream=1", "openai-processing-ms": "7", **headers}.items():
            self.send_header(k, v)
        stream = headers["content-type"] == "text/event-stream"
        if stream:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if not stream:
            self.wfile.write(body)
            return
        for piece in re.findall(rb".*?\n\r?\n|.+", body, re.S) if isinstance(body, bytes) else body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


class FixtureUpstream:
    """with FixtureUpstream() as up: up.env() for a router, up.requests, up.faults."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests, self.faults = [], []
        self.refuse_early = 0  # so many requests are refused before they are read
        self.batches = None  # Batches() of batches.py, Background() of background.py: what is made is kept instead of shown from fixtures
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.upstream = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def env(self):
        env = dict(ROUTER_ENV)
        for dialect, key in KEYS.items():
            env[f"{dialect.upper()}_API_KEY"] = key
            env[f"{dialect.upper()}_BASE_URL"] = f"{self.url}/{dialect}" + ("/v1" if dialect == "openai" else "")
        return env

    @staticmethod
    def price(router, admin):
        for model in UNPRICED:
            router.ok("POST", "/api/admin/prices", {"model": model, "provider": "openai", "input": "1", "output": "2"}, admin)

    def note(self, seen, faults):
        with self.lock:
            self.requests.append(seen)
            self.faults += faults

    def take(self):
        """What came since the last time, for another process."""
        with self.lock:
            got = {"requests": [s.plain() for s in self.requests], "faults": self.faults}
            self.requests, self.faults = [], []
        return got

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
