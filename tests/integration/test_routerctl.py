"""routerctl against a real router: what its commands say and send."""
import json

import pytest

from router import Router


def test_health_needs_no_loopback_and_says_errors_in_one_line():
    with Router(upstream=False, env={"METRICS_TOKEN": "a-token-for-the-metrics"}) as r:
        assert r.call("GET", "/health/detailed").status == 401, "so it is refused to whoever comes without METRICS_TOKEN"
        code, out, err = r.ctl("health")
        assert code == 0 and out.startswith("status               ok\n"), (out, err)
        assert {s["service"] for s in json.loads(r.ctl("health", "--json")[1])["services"]} == {"gateway", "authsvc", "providersvc", "meterd"}
        assert r.ctl("health", "--field", "status") == (0, "ok\n", "")
        for words in (["health"], ["health", "--field", "status"], ["health", "--json"]):
            code, out, err = r.ctl(*words, ROUTER_TOKEN="nobody's")
            assert code == 1 and out == "" and err.startswith("routerctl: The access token is not valid") and "(HTTP 401" in err, (out, err)


@pytest.fixture(scope="module")
def stock():
    """A router of our own, with a provider that has two keys."""
    with Router(upstream=False, env={f"KEY_{x}": f"sk-upstream-{x}" for x in "ABCD"}) as r:
        r.token = r.admin()
        r.ok("POST", "/api/admin/providers", {"name": "spare", "kind": "openai", "api_keys": ["${KEY_A}", "${KEY_B}"]}, r.token)
        yield r


def keys_of(stock):
    return [k["hint"] for k in stock.ok("GET", "/api/admin/providers/spare", token=stock.token)["keys"]]


@pytest.mark.parametrize("stdin", ["", "\n", "\r\n\n"])
def test_an_input_without_a_key_removes_none(stock, stdin):
    before = keys_of(stock)
    said = stock.ctl("provider", "set", "spare", "--api-keys", "-", stdin=stdin)
    assert said == (1, "", "routerctl: standard input holds no key; --api-keys '' removes all of them\n")
    assert keys_of(stock) == before == ["${KEY_A}", "${KEY_B}"]


def test_keys_are_replaced_from_the_input_and_removed_by_an_empty_word(stock):
    assert stock.ctl("provider", "set", "spare", "--api-keys", "-", stdin="${KEY_C}\n\n${KEY_D}")[0] == 0
    assert keys_of(stock) == ["${KEY_C}", "${KEY_D}"]
    assert stock.ctl("provider", "set", "spare", "--api-keys", "")[0] == 0
    assert keys_of(stock) == []
