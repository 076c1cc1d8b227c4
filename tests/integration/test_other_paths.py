"""Paths that the router does not know, passed on to a provider of OpenAI's kind: what is asked for is done, and what follows on the connection is not disturbed."""
import socket

import pytest

from router import OddUpstream, Router

NAME = "openai"


@pytest.fixture(scope="module")
def world():
    router = Router(upstream=False)
    odd = OddUpstream(router.folder)
    router.extra |= {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": odd.url(NAME)}
    with router:
        router.odd, router.key = odd, router.new_key(router.user()[1])
        yield router
        odd.stop()


def until_silent(sock):
    out = b""
    sock.settimeout(1)
    try:
        while got := sock.recv(65536):
            out += got
    except TimeoutError:
        pass
    return out


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/event-stream", "application/json"])
def test_nothing_follows_an_answer_without_a_body(world, kind):
    """RFC 9112, section 6.3: whatever stood behind a 204 would be read as the next answer."""
    world.odd.do(NAME, "status", status=204, body="", type=kind)
    s = socket.create_connection(("127.0.0.1", world.port), timeout=10)
    line = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n\r\n"
    s.sendall(f"DELETE /v1/threads/th {line}".encode())
    head, _, rest = until_silent(s).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 ") and b"transfer-encoding" not in head and rest == b""
    s.sendall(f"GET /v1/models {line}".encode())
    assert until_silent(s).startswith(b"HTTP/1.1 200 ")
    s.close()


def test_an_idempotency_key_is_for_what_makes_something(world):
    """Who looks again sees what there is now, and what is deleted is deleted, whatever headers a client sends with everything."""
    world.odd.do(NAME, "status", status=200, body='{"id":"ft-1"}')
    before = world.odd.count(NAME)
    for method in ("GET", "GET", "DELETE"):
        a = world.call(method, "/v1/fine_tuning/jobs/ft-1", token=world.key, headers={"idempotency-key": "always-the-same"})
        assert a.status == 200 and "x-router-replayed" not in a.headers, a
    assert world.odd.count(NAME) == before + 3
