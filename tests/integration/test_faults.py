"""Sixteen ways in which a provider fails: what a client sees and pays, with a spare route and without one."""
import dataclasses
import http.client
import json
import socket
import subprocess
import time

import pytest
from router import TIME_SCALE, Events, OddUpstream, Router, free_port, wait_until

MASTER = "a-master-key-of-more-than-thirty-two-characters"
CONNECT_MS = 300
FIRST_BYTE_MS = 900
IDLE_MS = 700
SLOW_BODY_MS = 1800  # less than all of its pieces take, far more than from one to the next
SLOW_S = 17  # to the first token; long enough for a gateway's comment after the five seconds of holding back


@dataclasses.dataclass
class Fault:
    """What a provider does; what the client of a model without another route gets for it."""

    do: dict
    status: int  # 200: the answer after all
    code: str | None = None  # the error's
    kind: str | None = "server_error"  # the error's type
    attempts: int = 1
    headers: dict = dataclasses.field(default_factory=dict)
    outcome: str = "error"  # of the failed attempt
    spared: bool = True  # a spare route takes over
    url: str | None = None  # instead of one that answers
    keys: tuple = ("sk-a",)
    cut: bool = False  # a stream has begun: it ends, and is paid for
    words: str = ""  # of the message


LIMIT = {"what": "status", "status": 429, "lines": ["Retry-After: 7"]}
NO = {"x-should-retry": "false"}
FAULTS = {
    "limit": Fault({**LIMIT, "body": '{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}'}, 429, "rate_limit_exceeded", "requests", headers={"retry-after": "7", "retry-after-ms": "7000"}, words="slow down"),
    "once": Fault({"what": "status", "status": 500, "times": 1}, 200, attempts=2),
    "refused": Fault({}, 502, "upstream_error", outcome="connect", url="http://127.0.0.1:{closed}/v1", words="could not be reached"),
    "unconnected": Fault({}, 502, "upstream_error", outcome="connect", url="http://127.0.0.1:{full}/v1", words="could not be reached"),
    "tls": Fault({}, 502, "upstream_error", outcome="connect", url="https://127.0.0.1:{tls}/tls/v1", words="could not be reached"),
    "hang": Fault({"what": "hang"}, 504, "upstream_timeout", headers=NO, outcome="timeout", words="in time"),
    "late": Fault({"what": "answer", "gap": 20, "first": 0}, 504, "upstream_timeout", headers=NO, outcome="timeout", words="in time"),
    "stall": Fault({"what": "stall"}, 504, "upstream_timeout", headers=NO, outcome="timeout", cut=True, words="silent"),
    "cut": Fault({"what": "cut"}, 502, "upstream_error", headers=NO, outcome="broken", cut=True, words="broke"),
    "error-first": Fault({"what": "error_first"}, 502, "upstream_error", headers=NO, words="no luck"),
    "badjson": Fault({"what": "badjson"}, 502, "upstream_error", headers=NO, outcome="*", words="not JSON"),
    "wrong-type": Fault({"what": "wrong_type"}, 502, "upstream_error", headers=NO, words="not JSON"),
    "no-credit": Fault({"what": "status", "status": 402}, 502, "upstream_billing_error", headers=NO, words="router's own account"),
    "no-quota": Fault({"what": "status", "status": 429, "body": '{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}'}, 502, "upstream_billing_error", headers=NO, words="router's own account"),
    "bad-key": Fault({"what": "answer", "keys": {"sk-b": 401}}, 200, spared=False, keys=("sk-a", "sk-b", "sk-c")),
    "slow-body": Fault({"what": "slow_body", "gap": 0.2}, 200, spared=False),
    "dead": Fault({"what": "status", "status": 503}, 503, None, attempts=3),
}
KINDS = ("plain", "stream")
DEAD_SPARE = ("dead",)  # models whose spare route fails as well

# A late token is a matter of streams; streams that break off have a test of their own.
CASES = [(n, k) for n, f in FAULTS.items() for k in KINDS if not (n == "late" and k == "plain") and not (f.cut and k == "stream")]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """One that nobody vouches for: (its file, the file of both it and its key)."""
    folder = tmp_path_factory.mktemp("tls")
    cert, both = folder / "cert.pem", folder / "both.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1".split()
    subprocess.run(["openssl", *words, "-keyout", str(folder / "key.pem"), "-out", str(cert)], check=True, capture_output=True)
    both.write_text((folder / "key.pem").read_text() + cert.read_text())
    return cert, both


@pytest.fixture(scope="module")
def world(certificate):
    router = Router(upstream=False, env={"MASTER_KEY": MASTER, "LOG_LEVEL": "warn"})
    odd = OddUpstream(router.folder)
    tls = OddUpstream(router.folder, cert=certificate[1])
    config = router.folder / "config.yaml"
    full, queue = full_port()
    config.write_text(json.dumps(catalog(odd, tls, full)))  # JSON is YAML
    router.extra["CONFIG"] = str(config)
    with router:
        for name, fault in FAULTS.items():
            odd.do(name, **fault.do)
            for kind in KINDS:
                odd.do(f"{name}-alone-{kind}", **fault.do)
        odd.do("dead-spare", "status", status=503)
        odd.do("slow", "answer", gap=SLOW_S)
        router.key = router.new_key(router.user(credit="10000")[1])
        router.root = router.admin()
        router.odd = odd
        yield router
        odd.stop()
        tls.stop()
        for s in queue:
            s.close()


def full_port():
    """A port on which nobody accepts and whose queue is full: a connection to it is neither made nor refused."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    queue = [socket.socket() for _ in range(4)]
    for s in queue:
        s.setblocking(False)
        s.connect_ex(listener.getsockname())
    return listener.getsockname()[1], [listener, *queue]


def catalog(odd, tls, full):
    closed = free_port()
    providers = [{"name": "spare", "kind": "openai", "base_url": odd.url("spare"), "api_keys": ["sk-spare"]}]
    providers.append({**providers[0], "name": "dead-spare", "base_url": odd.url("dead-spare")})
    providers.append({**providers[0], "name": "slow", "base_url": odd.url("slow")})
    models = [model("spare", "spare"), model("slow", "slow")]
    for name, fault in FAULTS.items():
        alone = [f"{name}-alone-{kind}" for kind in KINDS]
        for who in (name, *alone):
            url = fault.url.format(closed=closed, tls=tls.port, full=full) if fault.url else odd.url(who)
            providers.append({"name": who, "kind": "openai", "base_url": url, "api_keys": list(fault.keys), **timeouts(name, fault)})
        models.append(model(name, name, "dead-spare" if name in DEAD_SPARE else "spare"))
        models += [model(who, who) for who in alone]
    return {"providers": providers, "models": models}


def timeouts(name, fault):
    """Only who is silent is to be timed out: on a busy machine the others would be, too."""
    if name == "unconnected":
        return {"timeouts": {"connect_ms": CONNECT_MS}}
    if name == "slow-body":
        return {"timeouts": {"first_byte_ms": SLOW_BODY_MS, "idle_ms": SLOW_BODY_MS}}
    return {"timeouts": {"first_byte_ms": FIRST_BYTE_MS, "idle_ms": IDLE_MS}} if fault.outcome == "timeout" else {}


def model(name, *providers):
    routes = [{"provider": p, "model": "m", "tier": i + 1} for i, p in enumerate(providers)]
    return {"name": name, "routes": routes, "price": {"input": "1", "output": "2"}}


def earn(world):
    """Retries are a tenth of all calls, and three."""
    for _ in range(20):
        assert world.chat(world.key, model="spare").status == 200


def row_of(world, request_id):
    return wait_until("the call's row", 10, lambda: (a := world.call("GET", f"/api/admin/requests/{request_id}", token=world.root)).status == 200 and a.json())


def streamed(world, name):
    """(status, headers, content, closing words, error) of a stream; of one that never began the last is the body's."""
    events = Events(world, world.key, "hi", model=name)
    try:
        if events.status != 200:
            return events.status, events.headers, "", [], json.loads(events.response.read())["error"]
        content, rest, failure = "", [], None
        for data in events:
            if data == "[DONE]":
                rest.append(data)
                continue
            body = json.loads(data)
            if "error" in body:
                failure = body["error"]
                continue
            assert body["id"], body
            rest.append(body["id"])
            content += "".join(c["delta"].get("content") or "" for c in body["choices"])
        return 200, events.headers, content, rest, failure
    finally:
        events.close()


def check_error(fault, error, headers):
    assert set(error) >= {"message", "type", "code", "param"}, error
    assert error["code"] == fault.code and (fault.kind is None or error["type"] == fault.kind), error
    assert fault.words in error["message"], error
    assert "sk-" not in error["message"]
    for name, value in fault.headers.items():
        assert headers.get(name) == value, headers


def check_attempts(fault, row, answered_by):
    """Each is listed; who answered is the caller's, the others are the operator's."""
    log = row["attempt_log"]
    assert [a["number"] for a in log] == list(range(1, row["attempts"] + 1)), log
    assert fault.outcome == "*" or fault.attempts == 2 or log[0]["outcome"] == fault.outcome, log
    answered = [a for a in log if a["answered"]]
    assert [a["provider"] for a in answered] == ([answered_by] if answered_by else []), log
    if answered:
        assert answered[0]["cost_usd"] == row["cost_usd"], row


def check_paid(row, who):
    assert row["status"] == "ok" and row["provider"] == who and row["http_status"] == 200, row
    assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (20, 4, False), row
    assert row["cost_usd"] == "0.000028", row  # 20 at 1 USD and 4 at 2 USD a million


@pytest.mark.parametrize("name, kind", [c for c in CASES if c[0] not in DEAD_SPARE])
def test_with_a_spare_route(world, name, kind):
    fault, stream = FAULTS[name], kind == "stream"
    if name == "once":
        world.odd.do(name, **fault.do)
    if name == "limit":  # its key rests after the first call
        world.ok("PATCH", f"/api/admin/providers/{name}", {"api_keys": [f"sk-{kind}"]}, world.root)
        wait_until("providersvc knows the new one", 10, lambda: f"provider:{name}" not in world.unwell())
    earn(world)
    who = "spare" if fault.spared else name
    if stream:
        status, headers, content, rest, failure = streamed(world, name)
        assert status == 200 and failure is None and content == f"from {who}" and rest[-1] == "[DONE]", (status, rest, failure)
        assert set(rest[:-1]) == {who}, "two answers are mixed"
    else:
        a = world.chat(world.key, model=name)
        assert a.status == 200, a
        assert a.json()["choices"][0]["message"]["content"] == f"from {who}"
        headers = a.headers
    assert headers["x-router-provider"] == who
    assert name == "bad-key" or headers["x-router-attempts"] == ("2" if fault.spared else "1"), headers
    row = row_of(world, headers["x-request-id"])
    check_paid(row, who)
    if fault.spared:
        check_attempts(fault, row, who)


@pytest.mark.parametrize("name, kind", [c for c in CASES if c[0] not in DEAD_SPARE])
def test_without_a_spare_route(world, name, kind):
    fault, stream, alone = FAULTS[name], kind == "stream", f"{name}-alone-{kind}"
    earn(world)
    if stream:
        status, headers, content, rest, error = streamed(world, alone)
        assert status != 200 or (error is None and content == f"from {alone}" and rest[-1] == "[DONE]"), (rest, error)
    else:
        a = world.chat(world.key, model=alone)
        status, headers, error = a.status, a.headers, None if a.status == 200 else a.error
    assert status == fault.status, (status, error)
    row = row_of(world, headers["x-request-id"])
    if status == 200:
        check_paid(row, alone)
        return
    check_error(fault, error, headers)
    assert row["status"] == "error" and row["http_status"] == status and row["cost_usd"] == "0", row
    assert row["attempts"] == (3 if name in ("refused", "unconnected", "dead") else fault.attempts), row
    check_attempts(fault, row, None)


@pytest.mark.parametrize("name", [n for n, f in FAULTS.items() if f.cut])
@pytest.mark.parametrize("spare", [True, False], ids=["spare", "alone"])
def test_a_stream_that_has_begun_ends_with_its_error(world, name, spare):
    """Nothing of the spare route is mixed in; no [DONE] is made up; what was delivered is paid for."""
    fault, who = FAULTS[name], name if spare else f"{name}-alone-stream"
    before = world.odd.count("spare")
    status, headers, content, rest, failure = streamed(world, who)
    assert status == 200 and content == "half" and "[DONE]" not in rest and set(rest) == {who}
    assert failure["code"] == fault.code and fault.words in failure["message"], failure
    assert world.odd.count("spare") == before
    row = row_of(world, headers["x-request-id"])
    assert row["status"] == "truncated" and row["estimated"] and row["completion_tokens"] > 0, row
    assert row["cost_usd"] != "0"
    check_attempts(fault, row, who)


def test_all_routes_dead(world):
    """One attempt at each, then the last again; while they are known to fail no call asks one of them twice."""
    earn(world)
    a = world.chat(world.key, model="dead")
    assert a.status == 503 and a.error["message"] == "told to", a
    row = row_of(world, a.headers["x-request-id"])
    assert row["cost_usd"] == "0" and {x["provider"] for x in row["attempt_log"]} == {"dead", "dead-spare"}
    for _ in range(10):
        a = world.chat(world.key, model="dead")
    seen = world.odd.count("dead") + world.odd.count("dead-spare")
    took = []
    for _ in range(20):
        began = time.monotonic()
        a = world.chat(world.key, model="dead")
        took.append(time.monotonic() - began)
        assert a.status == 503 and a.error["message"] == "told to", a
    assert world.odd.count("dead") + world.odd.count("dead-spare") <= seen + 2 * 20, "one attempt at each, and retries have their budget"
    assert sorted(took)[10] < 0.05 * TIME_SCALE, took


def test_a_bad_key_is_left_alone(world):
    for _ in range(12):
        assert world.chat(world.key, model="bad-key").status == 200
    seen = world.odd.seen("bad-key")
    assert seen["sk-b"] == 1 and seen["sk-a"] >= 4 and seen["sk-c"] >= 4, seen


def test_a_client_is_kept_alive_until_a_late_first_token(world):
    """Without another route the client sees that its answer has begun, and comments, while the model thinks."""
    conn = http.client.HTTPConnection("127.0.0.1", world.port, timeout=60)
    body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    began = time.monotonic()
    conn.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {world.key}"})
    r = conn.getresponse()
    assert r.status == 200 and 4 < time.monotonic() - began < 8
    text = b""
    while b"keep-alive" not in text:
        text += r.readline()
        assert b"from" not in text, text
    assert time.monotonic() - began < SLOW_S
    text += r.read()
    assert b"from " in text and text.endswith(b"data: [DONE]\n\n"), text
    conn.close()


# ---- certificates


@pytest.mark.parametrize("setting", [None, "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_certificates_are_checked(certificate, setting):
    """Nobody vouches for it: refused, and the key is not shown. Named by the operator: accepted, and another host's name is not."""
    cert, both = certificate
    router = Router(upstream=False, env={"MASTER_KEY": MASTER, **({setting: str(cert)} if setting else {})})
    odd = OddUpstream(router.folder, cert=both)
    config = router.folder / "config.yaml"
    names = {"self": odd.url("self"), "other": odd.url("other").replace("127.0.0.1", "localhost")}
    providers = [{"name": n, "kind": "openai", "base_url": u, "api_keys": ["sk-x"]} for n, u in names.items()]
    config.write_text(json.dumps({"providers": providers, "models": [model(n, n) for n in names]}))
    router.extra["CONFIG"] = str(config)
    with router:
        key = router.new_key(router.user()[1])
        a = router.chat(key, model="self")
        if setting:
            assert a.status == 200 and a.json()["choices"][0]["message"]["content"] == "from self", a
        else:
            assert a.status == 502 and a.error["code"] == "upstream_error", a
            assert "certificate" not in a.error["message"]
        a = router.chat(key, model="other")
        assert a.status == 502, a
        odd.stop()

