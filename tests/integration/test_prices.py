"""Prices: every token class on the bill, versions that take force on time, files of prices, models without a price."""
import json
import os
import pathlib
import re
import subprocess
import time
from fractions import Fraction
from math import ceil

import pytest
from router import ADMIN_EMAIL, ADMIN_PASSWORD, BIN, TIME_SCALE, Events, Router, wait_until

FIXTURE = pathlib.Path(__file__).with_name("litellm_prices.json")
CLASSES = "input output cached_input cache_write cache_write_long audio_input audio_output image_input image_output reasoning".split()
TIER = "tier_input tier_output tier_cached_input tier_cache_write tier_cache_write_long".split()


def usd(nano):
    """Nano-USD as the router writes them."""
    whole, part = divmod(nano, 10**9)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def put(router, admin, model, **fields):
    return router.ok("POST", "/api/admin/prices", {"model": model, "provider": "openai", "input": "1", "output": "2", **fields}, admin)


def in_force(router, admin, model):
    data = router.ok("GET", f"/api/admin/prices?model={model}", token=admin)["data"]
    return data[0] if data else None


def history(router, admin, model, more=""):
    return router.ok("GET", f"/api/admin/prices?model={model}&history=true{more}", token=admin)


# ---- the bill


def test_every_class_is_on_the_bill_by_its_own_price(router, admin, account):
    _, token, key = account
    put(
        router,
        admin,
        "all-classes",
        cached_input="0.1",
        cache_write="1.25",
        audio_input="40",
        audio_output="80",
        image_input="5",
        image_output="30.000001",
        reasoning="3",
    )
    text = "[[prompt=1000 cached=100 write=50 audio-in=10 image-in=5 completion=200 audio-out=30 image-out=40]]"
    a = router.chat(key, text, model="all-classes")
    assert a.status == 200, a
    pico = 835 * 10**6 + 100 * 10**5 + 50 * 1250000 + 10 * 40 * 10**6 + 5 * 5 * 10**6 + 130 * 2 * 10**6 + 30 * 80 * 10**6 + 40 * 30000001
    cost = usd(ceil(Fraction(pico, 1000)))
    assert a.headers["x-router-cost-usd"] == cost
    assert router.settled(token, 1)[0]["cost_usd"] == cost
    # a stream, with reasoning; the same price
    list(Events(router, key, "[[prompt=10 tokens=20 reasoning=7 audio-out=1]]", model="all-classes"))
    row = router.settled(token, 2)[0]
    assert row["completion_tokens"] == 27 and row["reasoning_tokens"] == 7
    assert row["cost_usd"] == usd(10 * 1000 + 19 * 2000 + 7 * 3000 + 80000)


def test_a_report_that_does_not_agree_with_itself_is_not_billed_below_what_was_used(router, admin, account):
    _, token, key = account
    put(router, admin, "beside", cached_input="0.1")
    assert router.chat(key, "[[prompt=10 cached=1000 completion=5]]", model="beside").status == 200
    (row,) = router.settled(token, 1)
    assert row["cost_usd"] == usd(10 * 1000 + 1000 * 100 + 5 * 2000)


def test_the_hold_bears_the_dearest_class(router, admin, account):
    _, token, key = account
    put(router, admin, "dear-audio", audio_output="80", max_output=1000)
    e = Events(router, key, "[[tokens=20 delay=200]]", model="dear-audio", max_tokens=1000)
    next(iter(e))
    held = Fraction(router.credits(token)["held_usd"])
    assert held >= Fraction(80 * 1000, 10**6)
    list(e)
    router.settled(token, 1)


# ---- versions


def test_a_price_takes_force_on_time(router, admin, account):
    _, token, key = account
    now = put(router, admin, "timed")
    from_s = int(time.time()) + 5
    later = put(router, admin, "timed", input="100", output="200", valid_from=from_s)
    assert later["created"] == from_s and later["id"] != now["id"]
    assert in_force(router, admin, "timed")["id"] == now["id"]
    assert [p["id"] for p in history(router, admin, "timed")["data"]] == [later["id"], now["id"]]
    assert history(router, admin, "timed")["data"][1]["ended"] == from_s
    seen = []  # (when asked, when answered, what was billed)
    while not seen or (seen[-1][2] != "0.003" and time.time() < from_s + 5 * TIME_SCALE):
        asked = time.time()
        a = router.chat(key, "[[prompt=10 completion=10]]", model="timed")
        assert a.status == 200, a
        seen.append((asked, time.time(), a.headers["x-router-cost-usd"]))
        time.sleep(0.02)
    assert {cost for _, _, cost in seen} == {"0.00003", "0.003"}
    assert from_s <= seen[-1][1], "before its time"
    # However long a call takes: none that was begun later than this has the old price.
    assert seen[-2][0] <= from_s + 1 * TIME_SCALE + 0.5, "more than a second late"
    assert in_force(router, admin, "timed")["id"] == later["id"]
    assert in_force(router, admin, "timed")["ended"] == 0


def test_a_call_is_billed_by_the_version_of_its_admission(router, admin, account):
    """The price changes twice in the middle of a stream: at once by an administrator, and on its own when the time comes."""
    _, token, key = account
    first = put(router, admin, "pinned")
    put(router, admin, "pinned", input="50", output="50", valid_from=int(time.time()) + 5)
    e = Events(router, key, "[[prompt=10 tokens=30 delay=250]]", model="pinned")
    events = iter(e)
    for _ in range(3):
        next(events)
    put(router, admin, "pinned", input="1000", output="1000")
    assert router.chat(key, "[[prompt=10 completion=1]]", model="pinned").headers["x-router-cost-usd"] == "0.011"
    assert in_force(router, admin, "pinned")["input"] == "1000"
    list(events)
    assert in_force(router, admin, "pinned")["input"] == "50"
    rows = {r["completion_tokens"]: r for r in router.settled(token, 2)}
    assert rows[30]["price_id"] == first["id"]
    assert rows[30]["cost_usd"] == "0.00007"
    assert rows[1]["cost_usd"] == "0.011"


def test_what_waits_survives_a_restart():
    with Router(upstream=False) as r:
        admin = r.admin()
        put(r, admin, "waits", input="1")
        put(r, admin, "waits", input="7", valid_from=int(time.time()) + 4)
        put(r, admin, "waits", input="9", valid_from=int(time.time()) + 3600)
        r.stop()
        time.sleep(4.5)  # its time comes while nothing runs
        r.start()
        admin = r.admin()
        assert in_force(r, admin, "waits")["input"] == "7"
        data = history(r, admin, "waits")["data"]
        assert [p["input"] for p in data] == ["9", "7", "1"]
        assert data[2]["ended"] == data[1]["created"] and data[1]["ended"] == data[0]["created"]


def test_the_history_has_pages(router, admin):
    ids = [put(router, admin, "paged", input=str(i))["id"] for i in range(1, 6)]
    page = history(router, admin, "paged", "&limit=2")
    seen = page["data"]
    while page["has_more"]:
        page = history(router, admin, "paged", f"&limit=2&cursor={page['next']}")
        seen += page["data"]
    assert [p["id"] for p in seen] == ids[::-1]
    a = router.call("GET", "/api/admin/prices?history=true", token=admin)
    assert a.status == 400 and a.error["param"] == "model"


TIERED = {"tier_above_tokens": 200000, "tier_input": "2", "tier_output": "4"}


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"tier_above_tokens": 200000, "tier_input": "2"}, "tier_output"),
        ({"tier_above_tokens": 200000, "tier_output": "2"}, "tier_input"),
        ({"tier_input": "2", "tier_output": "2"}, "tier_above_tokens"),
        ({"tier_cached_input": "0"}, "tier_above_tokens"),
        ({"input": "-1"}, "input"),
        ({"audio_output": "-0.5"}, "audio_output"),
        ({"reasoning": "1e-6"}, "reasoning"),
        ({"image_input": "0.0000001"}, "image_input"),
        ({**TIERED, "tier_cache_write_long": "1000001"}, "tier_cache_write_long"),
        ({"valid_from": 1000}, "valid_from"),
        ({"valid_from": -5}, "valid_from"),
        ({"valid_from": "soon"}, "valid_from"),
        ({"mode": "Chat!"}, "mode"),
        ({"model": ""}, "model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_prices_are_refused_by_name(router, admin, fields, param):
    a = router.call("POST", "/api/admin/prices", {"model": "bad", "input": "1", "output": "2", **fields}, admin)
    assert a.status == 400, a
    assert a.error["param"] == param, a
    assert param in a.error["message"]
    assert in_force(router, admin, "bad") is None


def test_all_that_was_said_is_shown(router, admin):
    said = {name: f"{i}.5" for i, name in enumerate(CLASSES + TIER, 1)}
    said.update(tier_above_tokens=200000, mode="audio_speech", context_window=1000, max_output=100)
    shown = put(router, admin, "all-said", **said)
    for name, value in said.items():
        assert shown[name] == value, name
    again = in_force(router, admin, "all-said")
    assert again == shown


def test_the_reference_describes_every_member(router, admin):
    text = (pathlib.Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text()
    for schema, members in (
        ("Price", in_force(router, admin, "gpt-4o-mini")),
        ("PricePut", ["model", "provider", "mode", "valid_from", "tier_above_tokens", "context_window", "max_output", *CLASSES, *TIER]),
    ):
        block = re.split(r"\n    \w", text.split(f"\n    {schema}:\n")[1])[0]
        assert set(re.findall(r"^        (\w+): ", block, re.M)) == set(members), schema


# ---- models without a price


def test_a_model_without_a_price_is_refused_with_what_to_do(router, account):
    _, _, key = account
    a = router.chat(key, "[[tokens=1]]", model="gpt-without-price")
    assert a.status == 404 and a.error["code"] == "model_not_found"
    assert "routerctl price set gpt-without-price INPUT OUTPUT" in a.error["message"]
    assert "POST /api/admin/prices" in a.error["message"]


def test_unpriced_free_costs_nothing_and_says_so():
    with Router(env={"UNPRICED": "free"}) as r:
        _, token = r.user(credit=None)
        key = r.new_key(token)
        a = r.chat(key, "[[prompt=1000 completion=1000]]", model="gpt-without-price")
        assert a.status == 200, a
        assert a.headers["x-router-cost-usd"] == "0"
        (row,) = r.settled(token, 1)
        assert row["price_id"] == 0 and row["cost_usd"] == "0"
        assert row["prompt_tokens"] == 1000 and row["completion_tokens"] == 1000
        assert r.chat(key, "[[tokens=1]]", model="gpt-4o-mini").status == 429  # what has a price still costs
        # priced from now on
        put(r, r.admin(), "gpt-without-price")
        assert r.chat(key, "[[tokens=1]]", model="gpt-without-price").status == 429


# ---- files of prices


def routerctl(router, *words):
    env = {
        "PATH": os.environ["PATH"],
        "ROUTER_URL": f"http://127.0.0.1:{router.port}",
        "ADMIN_EMAIL": ADMIN_EMAIL,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    done = subprocess.run([str(BIN / "routerctl"), *map(str, words)], env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def price_text(text):
    """USD per 1,000,000 tokens of a cost per token, by its digits."""
    pico = Fraction(text) * 10**12
    assert pico.denominator == 1
    whole, part = divmod(pico.numerator, 10**6)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def raw_fixture():
    return json.loads(FIXTURE.read_text(), parse_float=str, parse_int=str)


DIRECT = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_long": "cache_creation_input_token_cost_above_1hr",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
    "reasoning": "output_cost_per_reasoning_token",
}


def expected(entry):
    """What the router should say of an entry of the fixture."""
    want = {name: entry.get(field) for name, field in DIRECT.items()}
    above = [int(k.split("_above_")[-1][: -len("k_tokens")]) for k in entry if k.endswith("k_tokens") and "_above_" in k]
    if above:
        for name in ("input", "output", "cached_input", "cache_write", "cache_write_long"):
            want[f"tier_{name}"] = entry.get(f"{DIRECT[name]}_above_{above[0]}k_tokens", want[name])
    prices = {name: price_text(v) if v is not None else None for name, v in want.items()}
    if prices["output"] is None:
        prices["output"] = "0"
    return prices, above[0] * 1000 if above else 0


def test_a_file_of_prices_is_imported():
    with Router(upstream=False) as r:
        admin = r.admin()
        before = r.ok("GET", "/api/admin/prices?limit=500", token=admin)["data"]
        code, out, err = routerctl(r, "price", "import", FIXTURE, "--dry-run")
        assert code == 0, err
        good = [m for m in raw_fixture() if not m.startswith("house/bad") and m != "sample_spec"]
        assert out.splitlines()[-1] == f"{len(good)} would be set, 0 unchanged, 12 skipped, 0 refused; 1 of them free of charge"
        assert r.ok("GET", "/api/admin/prices?limit=500", token=admin)["data"] == before, "a dry run changes nothing"

        code, out, err = routerctl(r, "price", "import", FIXTURE)
        assert code == 0, err
        lines = {line.split()[1]: line for line in out.splitlines()[:-1]}
        for model, field in {
            "bad-second": "input_cost_per_second: priced per second",
            "bad-image": "output_cost_per_image: priced per image",
            "bad-character": "input_cost_per_character: priced per character",
            "bad-query": "search_context_cost_per_query: priced per query",
            "bad-steps": "tiered_pricing: priced in steps",
            "bad-two-tiers": "more than one tier",
            "bad-fine": "parts of a pico-USD",
            "bad-negative": "it is negative",
            "bad-text": "it is not a number",
            "bad-no-output": "output_cost_per_token: missing",
            "bad-unknown": "hovercraft_cost: ",
            "bad-entry": "not an object",
        }.items():
            line = lines[f"house/{model}"]
            assert line.startswith("skipped") and field in line, line
            assert in_force(r, admin, f"house/{model}") is None
        assert "sample_spec" not in out
        for model in good:
            entry = raw_fixture()[model]
            is_, (prices, above) = in_force(r, admin, model), expected(entry)
            for name, value in prices.items():
                assert is_[name] == value, (model, name)
            assert is_["tier_above_tokens"] == above, model
            assert is_["mode"] == entry["mode"] and is_["provider"] == entry["litellm_provider"], model
            assert is_["context_window"] == int(entry.get("max_input_tokens", 0)), model
            assert is_["max_output"] == int(entry.get("max_output_tokens", entry.get("max_tokens", 0))), model

        ids = {m: in_force(r, admin, m)["id"] for m in good}
        code, out, _ = routerctl(r, "price", "import", FIXTURE)
        assert code == 0
        assert out.splitlines()[-1] == f"0 set, {len(good)} unchanged, 12 skipped, 0 refused"
        assert {m: in_force(r, admin, m)["id"] for m in good} == ids, "nothing changed, no new version"


def test_an_import_of_some_and_of_changes(tmp_path):
    with Router(upstream=False) as r:
        admin = r.admin()
        code, out, _ = routerctl(r, "price", "import", FIXTURE, "--only", "other/")
        assert (code, out.splitlines()[-1]) == (0, "1 set, 0 unchanged, 0 skipped, 0 refused")
        assert in_force(r, admin, "house/plain") is None
        # the administrator serves it elsewhere: a new price must not move its calls
        put(r, admin, "gpt-4o", provider="echo")
        path = tmp_path / "prices.json"
        path.write_text(json.dumps({"gpt-4o": {"input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06, "litellm_provider": "openai"}}))
        code, out, _ = routerctl(r, "price", "import", path)
        assert code == 0 and out.startswith("set       gpt-4o  input 3, output 4\n")
        is_ = in_force(r, admin, "gpt-4o")
        assert (is_["input"], is_["output"], is_["provider"]) == ("3", "4", "echo")
        # what the file no longer has is no longer in the price
        put(r, admin, "gpt-4o", input="3", output="4", reasoning="9", provider="echo")
        assert routerctl(r, "price", "import", path)[1].splitlines()[-1].startswith("1 set")
        assert in_force(r, admin, "gpt-4o")["reasoning"] is None


@pytest.mark.parametrize("text, why", [("{", "is not JSON"), ("[1]", "expected an object"), (None, "cannot be read")])
def test_what_is_no_file_of_prices(router, tmp_path, text, why):
    path = tmp_path / "prices.json"
    if text is not None:
        path.write_text(text)
    code, _, err = routerctl(router, "price", "import", path)
    assert code == 1 and why in err


def test_routerctl_sets_and_shows_versions(router, admin):
    from_s = int(time.time()) + 3600
    assert routerctl(router, "price", "set", "from-shell", "1", "2", "--audio-input", "40", "--provider", "openai")[0] == 0
    code, _, err = routerctl(router, "price", "set", "from-shell", "3", "4", "--valid-from", from_s, "--tier-above-tokens", "100000")
    assert code == 1 and "tier_input" in err
    tier = ("--tier-above-tokens", "100000", "--tier-input", "6", "--tier-output", "8")
    assert routerctl(router, "price", "set", "from-shell", "3", "4", "--valid-from", from_s, *tier)[0] == 0
    code, out, _ = routerctl(router, "price", "list", "--model", "from-shell", "--history", "--json")
    assert code == 0
    later, now = json.loads(out)["data"]
    assert (later["created"], later["tier_output"], later["audio_input"]) == (from_s, "8", None)
    assert (now["ended"], now["audio_input"]) == (from_s, "40")


def test_the_scheduled_price_reaches_a_router_that_is_idle(router, admin, account):
    """No other change wakes meterd: the timer alone must do it."""
    _, _, key = account
    put(router, admin, "idle")
    from_s = int(time.time()) + 4
    put(router, admin, "idle", input="5", valid_from=from_s)
    asked = []

    def there():
        asked.append(time.time())
        return in_force(router, admin, "idle")["input"] == "5"

    wait_until("it is in force", 15, there, every=0.2)
    assert asked[-2] <= from_s + (1.5 * TIME_SCALE)  # the last look that did not see it
