import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from router import Router, wait_until  # noqa: E402


@pytest.fixture(scope="session")
def router():
    """One router for the tests that break nothing."""
    with Router() as r:
        yield r


@pytest.fixture(scope="session")
def admin(router):
    return router.admin()


@pytest.fixture
def account(router, admin):
    """A new user with 10 USD and no limits: (user, token, key)."""
    user, token = router.user(admin=admin)
    return user, token, router.new_key(token)


@pytest.fixture(autouse=True)
def well(request):
    """A test that made the shared router's provider fail does not leave that to the next one."""
    yield
    if "router" in request.fixturenames:
        router = request.getfixturevalue("router")
        wait_until("all providers are well", 10, lambda: not router.unwell())
