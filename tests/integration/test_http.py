"""Bytes that a parser may misread are refused before any parser acts on them (RFC 9112), and nothing smuggled behind runs."""
import json
import secrets
import socket
import time

import pytest

BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def raw(port, data, answers=None):
    """Sends bytes, returns all that comes until the peer closes, or is silent: for a second when `answers` have come, else for ten."""
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    out = b""
    try:
        s.sendall(data)
        while True:
            s.settimeout(1 if out.count(b"HTTP/1.1 ") == answers else 10)
            got = s.recv(65536)
            if not got:
                return out, True
            out += got
    except TimeoutError:
        return out, False
    except ConnectionResetError:
        return out, True
    finally:
        s.close()


def head(*lines):
    return b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", *lines, b"", b""))


HOSTILE = {
    "cl and te": head(b"Host: x", b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED,
    "two lengths": head(b"Host: x", b"Content-Length: 0", b"Content-Length: 5") + SMUGGLED,
    "same length twice": head(b"Host: x", b"Content-Length: 0", b"Content-Length: 0") + SMUGGLED,
    "signed length": head(b"Host: x", b"Content-Length: +0") + SMUGGLED,
    "length with junk": head(b"Host: x", b"Content-Length: 0abc") + SMUGGLED,
    "list of lengths": head(b"Host: x", b"Content-Length: 0, 0") + SMUGGLED,
    "empty length": head(b"Host: x", b"Content-Length: ") + SMUGGLED,
    "space before colon": head(b"Host: x", b"Content-Length : 0") + SMUGGLED,
    "te with space before colon": head(b"Host: x", b"Transfer-Encoding : chunked") + b"0\r\n\r\n" + SMUGGLED,
    "te identity": head(b"Host: x", b"Transfer-Encoding: identity, chunked") + b"0\r\n\r\n" + SMUGGLED,
    "te unknown": head(b"Host: x", b"Transfer-Encoding: gzip") + SMUGGLED,
    "folded header": head(b"Host: x", b"X-A: b", b" c: d", b"Content-Length: 0") + SMUGGLED,
    "bare lf": b"POST /v1/chat/completions HTTP/1.1\nHost: x\nContent-Length: 0\n\n" + SMUGGLED,
    "nul in header": head(b"Host: x", b"X-A: a\0b", b"Content-Length: 0") + SMUGGLED,
    "no host": head(b"Content-Length: 0") + SMUGGLED,
    "two hosts": head(b"Host: x", b"Host: y", b"Content-Length: 0") + SMUGGLED,
    "bad chunk size": head(b"Host: x", b"Transfer-Encoding: chunked") + b"zz\r\n" + SMUGGLED,
    "bad request line": b"POST  /v1/chat/completions  HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_framing_is_refused_and_closed(router, name):
    answer, closed = raw(router.port, HOSTILE[name])
    assert closed, answer
    assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_too_many_headers(router):
    lines = [b"Host: x"] + [b"X-%d: 1" % i for i in range(70)] + [b"Content-Length: 0"]
    answer, closed = raw(router.port, head(*lines) + SMUGGLED)
    assert closed and answer.startswith(b"HTTP/1.1 431"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_header_too_large(router):
    answer, closed = raw(router.port, head(b"Host: x", b"X-A: " + b"a" * 40000))
    assert closed and answer.startswith(b"HTTP/1.1 431"), answer[:200]


def test_good_requests_pass_in_any_cut(router, account):
    data = (
        head(b"Host: x", b"Authorization: Bearer " + account[2].encode(), b"Content-Type: application/json", b"Content-Length: %d" % len(BODY)) + BODY
    )
    for step in (1, 7, 64):
        s = socket.create_connection(("127.0.0.1", router.port), timeout=20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(data), step):
            s.sendall(data[i : i + step])
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        s.close()


def test_chunked_and_pipelined_requests(router, account):
    auth = b"Authorization: Bearer " + account[2].encode()
    chunked = head(b"Host: x", auth, b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    for i in range(0, len(BODY), 20):
        part = BODY[i : i + 20]
        chunked += b"%x\r\n%s\r\n" % (len(part), part)
    chunked += b"0\r\n\r\n"
    answer, _ = raw(router.port, chunked + SMUGGLED + SMUGGLED, answers=3)
    assert answer.count(b"HTTP/1.1 200") == 3, answer


@pytest.mark.parametrize("more", [b"", b"Upgrade: TLS/1.0", b"Upgrade: websocket"])
def test_who_offers_an_upgrade_is_told_that_nothing_follows(router, account, more):
    """The HTTP library ends such a connection: a client that reused it would lose its next request."""
    lines = [b"Host: x", b"Authorization: Bearer " + account[2].encode(), b"Connection: keep-alive, Upgrade", b"Content-Length: %d" % len(BODY)]
    answer, closed = raw(router.port, head(*lines, *([more] if more else [])) + BODY, answers=1)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close\r\n" in answer.lower() and closed


def test_expect_continue(router, account):
    data = head(
        b"Host: x", b"Authorization: Bearer " + account[2].encode(), b"Content-Type: application/json", b"Expect: 100-continue",
        b"Content-Length: %d" % len(BODY),
    )
    s = socket.create_connection(("127.0.0.1", router.port), timeout=20)
    s.sendall(data)
    assert s.recv(100).startswith(b"HTTP/1.1 100 ")
    s.sendall(BODY)
    assert s.recv(65536).startswith(b"HTTP/1.1 200")
    s.close()


def test_header_and_first_chunk_leave_in_one_write(router, account):
    body = json.dumps({"model": "echo-slow", "stream": True, "messages": [{"role": "user", "content": "a b c"}]}).encode()
    s = socket.create_connection(("127.0.0.1", router.port), timeout=20)
    s.sendall(head(b"Host: x", b"Authorization: Bearer " + account[2].encode(), b"Content-Type: application/json", b"Content-Length: %d" % len(body)) + body)
    first = s.recv(65536)
    assert first.startswith(b"HTTP/1.1 200") and b"data: " in first
    s.close()


def test_a_slow_body_is_cut(router, account):
    """A body that drips must not hold a thread for ever; others are served meanwhile."""
    s = socket.create_connection(("127.0.0.1", router.port), timeout=60)
    s.sendall(head(b"Host: x", b"Authorization: Bearer " + account[2].encode(), b"Content-Type: application/json", b"Content-Length: 100000"))
    began = time.monotonic()
    try:
        while time.monotonic() - began < 60:
            s.sendall(b"x")
            time.sleep(0.25)
            s.setblocking(False)
            try:
                got = s.recv(1000)
                break
            except BlockingIOError:
                pass
            finally:
                s.setblocking(True)
        else:
            pytest.fail("still reading after 60 s")
    except (BrokenPipeError, ConnectionResetError):
        got = b""
    assert not got or got.startswith(b"HTTP/1.1 4")
    assert time.monotonic() - began < 45
    s.close()


SILENT = 40  # times MAX_BODY_BYTES is more than there is room for


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_of_a_made_up_key_is_not_read(router, chunked):
    began = time.monotonic()
    how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 16777216"
    some = b"fffff\r\n" + b"x" * 70000 if chunked else b""
    answer, closed = raw(router.port, head(b"Host: x", b"Authorization: Bearer sk-or-made-up", how) + some)
    assert closed and answer.startswith(b"HTTP/1.1 401"), answer[:200]
    assert b'"code":"invalid_api_key"' in answer and b"\r\nconnection: close\r\n" in answer
    assert time.monotonic() - began < 5


def test_who_sends_a_large_body_with_a_made_up_key_sees_why_not(router):
    for path in ("/v1/chat/completions", "/v1/audio/transcriptions"):
        kind = "multipart/form-data; boundary=x" if path.endswith("transcriptions") else "application/json"
        s = socket.create_connection(("127.0.0.1", router.port), timeout=20)
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-or-made-up\r\nContent-Type: %s\r\nContent-Length: 16000000\r\n\r\n" % (path.encode(), kind.encode()))
        s.sendall(b" " * 16000000)
        assert s.recv(65536).startswith(b"HTTP/1.1 401")
        s.close()


@pytest.mark.parametrize("good", [False, True])
def test_promised_bodies_take_no_room_from_others(router, account, good):
    key = account[2].encode() if good else b"sk-or-made-up"
    who = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_hex(12)}
    router.ok("POST", "/auth/register", who)
    silent = [socket.create_connection(("127.0.0.1", router.port), timeout=10) for _ in range(SILENT)]
    try:
        for s in silent:
            s.sendall(head(b"Host: x", b"Authorization: Bearer " + key, b"Content-Type: application/json", b"Content-Length: 16777216") + b"{")
        time.sleep(0.3)  # until they are read, as far as they are
        assert router.call("POST", "/auth/login", who).status == 200
        a = router.call("POST", "/v1/chat/completions", json.loads(BODY), account[2])
        assert a.status == 200, a
        large = {"model": "echo", "messages": [{"role": "user", "content": "x" * 1000000}]}
        assert router.call("POST", "/v1/chat/completions", large, account[2]).status in (200, 429)
    finally:
        for s in silent:
            s.close()


def test_head_and_options(router):
    a = router.call("HEAD", "/health/live")
    assert a.status == 200 and a.body == b""
    a = router.call("OPTIONS", "/v1/chat/completions", headers={"origin": "https://app.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization"})
    assert a.status == 204, a
    assert "access-control-allow-origin" in a.headers
    assert "authorization" in a.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("path", ["//v1/models", "/v1/./models", "/v1/../v1/models", "/%761/models", "/v1/models;x", "/v1/models/"])
def test_odd_paths_open_no_door(router, path):
    assert router.call("GET", path).status in (301, 400, 401, 404)


def test_a_crlf_in_a_value_makes_no_header(router, account):
    a = router.call("POST", "/v1/chat/completions", {"model": "x\r\nx-evil: 1", "messages": [{"role": "user", "content": "x"}]}, account[2])
    assert a.status in (400, 404)
    assert "x-evil" not in a.headers
