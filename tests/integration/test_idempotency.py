"""Idempotency-Key: one answer, one upstream call and one bill for a key, its caller and its body, whatever happens."""
import concurrent.futures
import contextlib
import json
import secrets
import sqlite3
import time
from decimal import Decimal

import pytest

from router import Events, Router, call, wait_until


def body(text, **fields):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields}


def post(router, key, idem, text, timeout=60, **fields):
    return router.call("POST", "/v1/chat/completions", body(text, **fields), key, headers={"idempotency-key": idem}, timeout=timeout)


def upstream_calls(router, mark):
    """Calls of this test in the upstream's journal; each sends its own `user`."""
    return [row for row in router.upstream.rows() if row["user"] == mark]


@pytest.fixture
def mark():
    return secrets.token_hex(8)


def one_bill(router, token, mark, calls=1):
    def billed_rows():
        return [r for r in router.settled(token, 1) if Decimal(r["cost_usd"]) > 0]

    billed = wait_until("a bill", 10, billed_rows)
    assert len(billed) == 1, billed
    assert len(upstream_calls(router, mark)) == calls
    return billed[0]


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_call_twice(router, account, mark, stream):
    _, token, key = account
    first = post(router, key, mark, "[[tokens=7 prompt=20]]", stream=stream, user=mark)
    assert first.status == 200 and "x-router-replayed" not in first.headers
    again = post(router, key, mark, "[[tokens=7 prompt=20]]", stream=stream, user=mark)
    assert again.status == 200
    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-router-replayed"] == "true"
    assert again.headers["x-router-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    row = one_bill(router, token, mark)
    assert row["request_id"] == first.headers["x-request-id"]
    assert len(router.settled(token, 1)) == 1


def test_another_body_is_a_conflict(router, account, mark):
    _, token, key = account
    assert post(router, key, mark, "[[tokens=2]] a", user=mark).status == 200
    refused = post(router, key, mark, "[[tokens=2]] b", user=mark)
    assert refused.status == 409
    assert refused.error["code"] == "idempotency_key_reused" and refused.error["type"] == "invalid_request_error"
    one_bill(router, token, mark)


def test_fifty_at_once_make_one_call(router, account, mark):
    _, token, key = account
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(router, key, mark, "[[tokens=5 first=500]]", user=mark), range(50)))
    assert {a.status for a in answers} == {200}
    assert len({a.body for a in answers}) == 1
    assert sum("x-router-replayed" not in a.headers for a in answers) == 1
    one_bill(router, token, mark)
    assert len(router.settled(token, 1)) == 1


def test_callers_are_users_not_keys(router, admin, account, mark):
    _, token, key = account
    other_user, other_token = router.user(admin=admin)
    first = post(router, key, mark, "[[tokens=2]]", user=mark)
    assert post(router, router.new_key(token), mark, "[[tokens=2]]", user=mark).body == first.body
    assert "x-router-replayed" not in post(router, router.new_key(other_token), mark, "[[tokens=2]]", user=mark).headers
    assert len(upstream_calls(router, mark)) == 2
    router.settled(other_token, 1)
    one_bill(router, token, mark, calls=2)


@pytest.mark.parametrize("bad", ["x" * 256, "caf\xe9", "y" * 300])
def test_what_is_no_key_is_refused(router, account, bad):
    a = post(router, account[2], bad, "hello")
    assert a.status == 400
    assert a.error["param"] == "Idempotency-Key"


def test_a_key_with_nul_is_refused(router, account):
    import socket

    text = json.dumps(body("hello")).encode()
    with socket.create_connection(("127.0.0.1", router.port), timeout=10) as s:
        s.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + account[2].encode()
            + b"\r\nIdempotency-Key: a\0b\r\nContent-Length: "
            + str(len(text)).encode()
            + b"\r\n\r\n"
            + text
        )
        assert s.recv(100).startswith(b"HTTP/1.1 400")


def test_an_unknown_key_is_still_401(router, mark):
    assert post(router, "sk-or-nobody", mark, "hello").status == 401


def test_errors_that_cost_nothing_are_made_again(router, account, mark):
    _, token, key = account
    assert post(router, key, mark, "[[status=400]]", user=mark).status == 400
    assert post(router, key, mark, "[[status=400]]", user=mark).status == 400
    assert post(router, key, mark, "[[cut=headers]]", user=mark).status == 502  # another body: the key was free again
    assert post(router, key, mark, "[[tokens=2]]", user=mark).status == 200
    one_bill(router, token, mark, calls=len(upstream_calls(router, mark)))


def test_refused_by_a_rate_limit_then_made(router, account, mark):
    _, token, _ = account
    key = router.new_key(token, rpm=1)
    assert router.chat(key, "[[tokens=1]]").status == 200
    refused = post(router, key, mark, "[[tokens=2]]", user=mark)
    assert refused.status == 429
    wider = router.new_key(token)  # the same caller
    assert post(router, wider, mark, "[[tokens=2]]", user=mark).status == 200
    replayed = post(router, key, mark, "[[tokens=2]]", user=mark)  # a repeat needs no place under the limit
    assert replayed.status == 200 and replayed.headers["x-router-replayed"] == "true"
    assert len(upstream_calls(router, mark)) == 1


def leave_in_the_middle(router, key, idem, text, mark, events=3):
    conn = Started(router, key, idem, text, user=mark)
    seen = iter(conn)
    for _ in range(events):
        next(seen)
    conn.close()


class Started(Events):
    """A stream with an Idempotency-Key, as far as its first bytes."""

    def __init__(self, router, key, idem, text, **fields):
        import http.client

        self.conn = http.client.HTTPConnection("127.0.0.1", router.port, timeout=30)
        head = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": idem}
        self.conn.request("POST", "/v1/chat/completions", json.dumps(body(text, stream=True, **fields)).encode(), head)
        self.response = self.conn.getresponse()
        self.headers = {k.lower(): v for k, v in self.response.getheaders()}
        self.status = self.response.status


def test_a_client_that_left_gets_the_whole_answer(router, account, mark):
    _, token, key = account
    text = "[[tokens=40 delay=20 prompt=100]]"
    leave_in_the_middle(router, key, mark, text, mark)
    again = post(router, key, mark, text, stream=True, user=mark)
    assert again.status == 200 and again.headers["x-router-replayed"] == "true"
    assert again.body.endswith(b"data: [DONE]\n\n")
    pieces = [json.loads(e[6:]) for e in again.body.decode().strip().split("\n\n")[:-1]]
    assert len([p for p in pieces if p["choices"] and p["choices"][0]["delta"].get("content")]) == 40
    row = one_bill(router, token, mark)
    assert row["status"] == "ok" and row["completion_tokens"] == 40
    assert upstream_calls(router, mark)[0]["outcome"] == "ok"


def test_a_stream_that_broke_off_is_not_sold_twice(router, account, mark):
    _, token, key = account
    text = "[[tokens=20 cut=5 delay=2]]"
    first = post(router, key, mark, text, stream=True, user=mark)
    assert first.status == 200 and b"[DONE]" not in first.body
    again = post(router, key, mark, text, stream=True, user=mark)
    assert again.status == 409, again
    assert again.error["code"] == "idempotency_interrupted"
    one_bill(router, token, mark)


def test_answers_outlive_a_restart():
    mark = secrets.token_hex(8)
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        plain = post(r, key, "plain", "[[tokens=3]]", user=mark)
        stream = post(r, key, "stream", "[[tokens=3]]", stream=True, user=mark)
        assert plain.status == stream.status == 200
        r.settled(token, 2)
        assert all(code == 0 for code in r.stop().values())
        r.start()
        again = post(r, key, "plain", "[[tokens=3]]", user=mark)
        assert again.body == plain.body and again.headers["x-router-replayed"] == "true"
        again = post(r, key, "stream", "[[tokens=3]]", stream=True, user=mark)
        assert again.body == stream.body and again.headers["x-router-replayed"] == "true"
        assert len(upstream_calls(r, mark)) == 2
        token = r.admin()
        assert r.ok("GET", "/api/admin/system/ledger", token=token)["ok"] is True


def test_a_gateway_killed_in_mid_stream_never_bills_twice():
    mark = secrets.token_hex(8)
    text = "[[tokens=100 delay=30 prompt=50]]"
    with Router(mode="processes") as r:
        _, token = r.user()
        key = r.new_key(token)
        conn = Started(r, key, "k", text, user=mark)
        seen = iter(conn)
        for _ in range(5):
            next(seen)
        r.processes.pop("gateway").kill()
        conn.close()
        r.start_service("gateway")
        r.wait_ready()
        again = post(r, key, "k", text, stream=True, user=mark)
        assert again.status == 409, again
        assert again.error["code"] == "idempotency_interrupted"
        rows = r.settled(token, 1)
        assert len(rows) == 1 and Decimal(rows[0]["cost_usd"]) > 0
        assert len(upstream_calls(r, mark)) == 1
        assert Decimal(r.credits(token)["balance_usd"]) == 10 - Decimal(rows[0]["cost_usd"])


def test_meterd_killed_in_mid_stream_and_the_answer_is_kept_all_the_same():
    mark = secrets.token_hex(8)
    text = "[[tokens=40 delay=30 prompt=50]]"
    with Router(mode="processes") as r:
        _, token = r.user()
        key = r.new_key(token)
        conn = Started(r, key, "k", text, user=mark)
        seen = iter(conn)
        for _ in range(5):
            next(seen)
        r.processes.pop("meterd").kill()
        r.start_service("meterd")
        assert list(seen)[-1] == "[DONE]"
        wait_until("the router is ready", 20, lambda: call(r.port, "GET", "/health/ready").status == 200)
        again = post(r, key, "k", text, stream=True, user=mark)
        assert again.status == 200 and again.headers["x-router-replayed"] == "true"
        assert len(upstream_calls(r, mark)) == 1
        assert len(r.settled(token, 1)) == 1


def test_everything_killed_at_once_never_bills_twice():
    mark = secrets.token_hex(8)
    text = "[[tokens=100 delay=30 prompt=50]]"
    with Router(mode="launcher", env={"CALL_TIMEOUT_MS": "5000"}) as r:
        _, token = r.user()
        key = r.new_key(token)
        assert post(r, key, "whole", "[[tokens=3]]", user=mark).status == 200
        conn = Started(r, key, "k", text, user=mark)
        seen = iter(conn)
        for _ in range(5):
            next(seen)
        r.processes.pop("openai-router").kill()
        conn.close()
        r.start()
        assert post(r, key, "whole", "[[tokens=3]]", user=mark).headers["x-router-replayed"] == "true"
        again = post(r, key, "k", text, stream=True, user=mark)
        billed = [x for x in r.settled(token, 2) if Decimal(x["cost_usd"]) > 0]
        if again.status == 409:
            assert again.error["code"] in ("idempotency_interrupted", "idempotency_key_in_use")
        else:  # it was found to have cost nothing, and was made again
            assert again.status == 200
        assert len(billed) <= 2


def test_time_without_the_header_is_untouched(router, account):
    """Not a benchmark: only that nobody asks meterd for calls without a key."""
    _, token, key = account
    began = time.monotonic()
    for _ in range(50):
        assert router.chat(key, "[[tokens=1]]").status == 200
    assert time.monotonic() - began < 20


def test_an_answer_is_kept_for_the_hours_that_are_set(mark):
    with Router(env={"IDEMPOTENCY_HOURS": "3"}) as r:
        key = r.new_key(r.user()[1])
        assert post(r, key, mark, "[[tokens=1]]", user=mark).status == 200
        with contextlib.closing(sqlite3.connect(f"file:{r.folder / 'db' / 'app.db'}?mode=ro", uri=True)) as db:
            assert db.execute("SELECT expires_ms - created_ms FROM answer").fetchall() == [(3 * 3600 * 1000,)]
