"""An upload reaches its provider byte for byte, however it is cut on the way, with the provider's own name for the model in it."""
import concurrent.futures
import random

import pytest

from fixtures_upstream import FixtureUpstream, load
from router import Router

PIECE, ASKED = 65536, 262144  # the gateway pushes so much at once; a provider asks for so much
SIZES = [1, PIECE - 200, PIECE, PIECE + 1, ASKED - 300, ASKED, ASKED + 1, 3 * PIECE + 7, 3 * ASKED + 11, 5_000_000]
EDGE = "--an-edge"
TYPE = {"content-type": f"multipart/form-data; boundary={EDGE[2:]}"}


@pytest.fixture(scope="module")
def world():
    with FixtureUpstream() as up, Router(upstream=False, env=up.env()) as router:
        admin = router.admin()
        up.price(router, admin)
        routes = [{"provider": "openai", "model": "a-much-longer-name-upstream"}]
        router.ok("POST", "/api/admin/models", {"name": "ear", "price": {"input": "1", "output": "1"}, "routes": routes}, admin)
        _, token = router.user(admin=admin)
        yield up, router, router.new_key(token)


def form(size, model, model_first):
    data = random.Random(size).randbytes(size)
    name = f'{EDGE}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode()
    file = f'{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode() + data + b"\r\n"
    return data, (name + file if model_first else file + name) + f"{EDGE}--\r\n".encode()


def upload(world, size, model="whisper-1", model_first=True, upstreams_name=None):
    up, router, key = world
    data, body = form(size, model, model_first)
    a = router.call("POST", "/v1/audio/transcriptions", body, key, headers=TYPE)
    assert a.status == 200, a
    assert a.json() == load("openai/audio_transcription_json.response.json")
    came = [s for s in up.requests if s.parts and s.parts["file"][0][2] == data]
    assert came, f"{size} bytes did not arrive as they were"
    assert came[-1].text("model") == (upstreams_name or model)
    return came[-1]


@pytest.mark.parametrize("model_first", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_whole(world, size, model_first):
    world[0].take()
    seen = upload(world, size, model_first=model_first)
    assert seen.body == form(size, "whisper-1", model_first)[1]
    assert world[0].faults == []


@pytest.mark.parametrize("model_first", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_with_another_name_for_the_model(world, size, model_first):
    world[0].take()
    upload(world, size, "ear", model_first, "a-much-longer-name-upstream")
    assert world[0].faults == []


def test_many_at_once(world):
    world[0].take()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sizes = [300_000 + 977 * i for i in range(40)]
        list(pool.map(lambda n: upload(world, n, "ear", n % 2 == 0, "a-much-longer-name-upstream"), sizes))
    assert world[0].faults == []


@pytest.mark.parametrize("size", [ASKED - 300, 900_000])
def test_again_from_the_beginning_after_a_refusal_in_the_middle(world, size):
    up = world[0]
    for _ in range(3):
        for _ in range(20):  # retries are a small part of the calls
            upload(world, 1)
        up.take()
        up.refuse_early = 1
        upload(world, size)
        assert up.refuse_early == 0 and up.faults == []
