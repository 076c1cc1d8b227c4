import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

from router import Router  # noqa: E402


@pytest.fixture(scope="session")
def router():
    with Router(env={"UPSTREAM_HEALTH": "ignore"}) as r:  # one test's errors are not the next one's
        yield r


@pytest.fixture(scope="session")
def account(router):
    user, token = router.user(credit="50")
    return user, token, router.new_key(token)
