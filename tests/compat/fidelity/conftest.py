"""The vendors' SDKs through the router, in front of an upstream that answers from tests/fixtures (tests/lib/fixtures_upstream.py)."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

from fixtures_upstream import FixtureUpstream  # noqa: E402
from router import Router  # noqa: E402


@pytest.fixture(scope="session")
def upstream():
    with FixtureUpstream() as u:
        yield u


@pytest.fixture(scope="session")
def router(upstream):
    with Router(upstream=False, env=upstream.env()) as r:
        upstream.price(r, r.admin())
        yield r


@pytest.fixture(scope="session")
def token(router):
    return router.user(credit="50")[1]


@pytest.fixture(scope="session")
def key(router, token):
    return router.new_key(token)


@pytest.fixture(scope="session")
def base(router):
    """The router's address, without /v1."""
    return f"http://127.0.0.1:{router.port}"


@pytest.fixture(autouse=True)
def forwarded(upstream):
    """After each test: nothing was forwarded that should not have been."""
    upstream.take()
    yield
    assert upstream.faults == []


@pytest.fixture
def last(upstream):
    """The newest request as it came to the upstream."""
    return lambda: upstream.requests[-1]
