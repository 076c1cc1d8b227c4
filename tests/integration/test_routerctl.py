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


NEW_YEAR = 1830297600  # 2028-01-01T00:00:00Z
NOON_OF_A_LEAP_DAY = 1835438400  # 2028-02-29T12:00:00Z


@pytest.mark.parametrize("said, seconds", [("2028-01-01", NEW_YEAR), ("2028-02-29T12:00:00Z", NOON_OF_A_LEAP_DAY), (NEW_YEAR, NEW_YEAR), ("2027-12-31T23:59:59Z", NEW_YEAR - 1)])
def test_times_are_dates_or_seconds(router, said, seconds):
    key = json.loads(router.ctl("key", "create", "timed", "--expires-at", said, "--json")[1])
    assert key["expires_at"] == seconds
    assert json.loads(router.ctl("key", "update", key["id"], "--expires-at", "0", "--json")[1])["expires_at"] == 0
    assert json.loads(router.ctl("key", "update", key["id"], "--expires-at", said, "--json")[1])["expires_at"] == seconds
    assert router.ctl("codes", "create", "1", "--expires-at", said, "--field", "data.0.expires_at")[1] == f"{seconds}\n"
    assert json.loads(router.ctl("price", "set", "timed-price", "1", "2", "--valid-from", said, "--json")[1])["created"] == seconds


def test_times_bound_what_is_listed(router, account):
    _, token, key = account
    assert router.chat(key, "[[tokens=1]]").status == 200
    router.settled(token, 1)

    def found(*words):
        code, out, err = router.ctl(*words, "--json", ROUTER_TOKEN=token)
        assert code == 0, err
        return json.loads(out)

    for begin, end, n in (("2020-01-01", "2100-01-01T00:00:00Z", 1), ("2100-01-01", "2100-01-02", 0), ("0", "2020-01-01", 0)):
        assert len(found("requests", "--from", begin, "--to", end)["data"]) == n
        assert found("usage", "--from", begin, "--to", end)["total"]["requests"] == n


NO_TIMES = ["", "tomorrow", "-1", " 1", "1.5", "0x10", "99999999999999999999", "2028-1-1", "2027-02-29", "2028-13-01", "2028-00-10", "1969-12-31"]
NO_TIMES += ["2028-01-01T", "2028-01-01T00:00Z", "2028-01-01T00:00:00", "2028-01-01 00:00:00Z", "2028-01-01T24:00:00Z", "2028-01-01T23:59:60Z", "2028-01-01T00:00:00+01:00"]


@pytest.mark.parametrize("said", NO_TIMES)
def test_what_is_no_time_is_refused_by_the_name_of_its_option(router, said):
    for option, words in (
        ("expires-at", ["key", "create", "k", "--expires-at", said]),
        ("expires-at", ["codes", "create", "1", "--expires-at", said]),
        ("valid-from", ["price", "set", "m", "1", "2", "--valid-from", said]),
        ("from", ["usage", "--from", said]),
        ("to", ["requests", "--to", said]),
    ):
        assert router.ctl(*words, ROUTER_TOKEN="none") == (1, "", f"routerctl: {option}: '{said}' is no time: expected Unix seconds or YYYY-MM-DD[THH:MM:SSZ]\n")
