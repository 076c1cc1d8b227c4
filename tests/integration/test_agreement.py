"""The bill at scale: what the clients counted, what the upstream wrote down and what the ledger holds, call by call."""
import json
import resource
import subprocess
import time
from decimal import Decimal

import pytest
from router import BIN, Router, wait_until
from test_bill import cost

SANITIZED = "asan" in str(BIN) or "tsan" in str(BIN)
CALLS = 1000 if SANITIZED else 10_000
CONNECTIONS = 64
STREAMS = 200 if SANITIZED else 1000
TOKENS, DELAY_MS = 100, 20
OPEN_FILES = 8192
SETTLE_S = 240  # a backlog gives way to everybody for a minute


def start_loadgen(port, key, mode, **options):
    argv = [str(BIN / "loadgen"), mode, "--url", f"http://127.0.0.1:{port}/v1/chat/completions", "--key", key, "--model", "gpt-4o-mini"]
    for name, value in options.items():
        argv += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode in (0, 1), err  # 1: something failed; the counts say what
    return json.loads(out)


@pytest.fixture(scope="module")
def wide():
    """A router with room for all the connections of this file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        pytest.skip(f"needs {OPEN_FILES} open files, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES) if soft != resource.RLIM_INFINITY else soft, hard))
    try:
        with Router(env={"MAX_CONNECTIONS": "2048"}) as r:
            yield r
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def payer(wide):
    """A new user without limits: (access token, key)."""
    _, token = wide.user(credit="1000")
    return token, wide.new_key(token)


def ledger_rows(router, token, n):
    """All calls of the caller by request id, once n are settled. A row that comes twice fails here."""

    def total():
        return router.ok("GET", "/api/usage?group_by=model", token=token)["total"]["requests"]

    wait_until(f"{n} calls are settled", SETTLE_S, lambda: total() >= n, every=0.1)
    rows, cursor = [], ""
    while True:
        page = router.ok("GET", f"/api/usage/requests?limit=500{cursor}", token=token)
        rows += page["data"]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next']}"
    by_id = {r["request_id"]: r for r in rows}
    assert len(by_id) == len(rows) == total() == n
    return by_id


def client_rows(path):
    """loadgen's journal by request id: (user, status, prompt tokens, completion tokens)."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    by_id = {rid: (user, int(status), int(prompt), int(out)) for _, user, rid, status, prompt, out, *_ in lines}
    assert len(by_id) == len(lines)
    return by_id


def upstream_rows(router, ids):
    rows = [j for j in router.upstream.rows() if j["request_id"] in ids]
    by_id = {j["request_id"]: j for j in rows}
    assert len(by_id) == len(rows), "the upstream saw a call twice"
    return by_id


def test_three_books_agree_on_every_call(wide, payer, tmp_path):
    """Half of the calls plain, half streamed, each with its own number of prompt tokens; 64 connections in all."""
    token, key = payer
    prompt = "[[prompt=2%d cached=2 tokens=3]]"  # %d: the number of the call
    each = {"connections": CONNECTIONS // 2, "requests": CALLS // 2, "prompt": prompt, "timeout": 60}
    plain = start_loadgen(wide.port, key, "calls", journal=tmp_path / "plain", user="plain-", **each)
    streamed = start_loadgen(wide.port, key, "calls", journal=tmp_path / "streamed", user="streamed-", stream=True, **each)
    for sums in (result(plain), result(streamed)):
        assert sums["ok"] == CALLS // 2 and sums["errors"] == {} and sums["no_usage"] == 0, sums

    client = client_rows(tmp_path / "plain")
    client.update(client_rows(tmp_path / "streamed"))
    assert len(client) == CALLS
    ledger = ledger_rows(wide, token, CALLS)
    upstream = upstream_rows(wide, client)
    assert client.keys() == ledger.keys() == upstream.keys()

    total = Decimal(0)
    for rid, (user, status, n_in, n_out) in client.items():
        r, j = ledger[rid], upstream[rid]
        assert n_in == int(user.replace("plain-", "2").replace("streamed-", "2")) and n_out == 3
        assert (status, j["status"], r["http_status"], r["status"]) == (200, "200", 200, "ok"), r
        assert (j["user"], j["outcome"], r["stream"]) == (user, "ok", user.startswith("streamed-")), r
        assert (int(j["prompt"]), int(j["cached"]), int(j["completion"])) == (n_in, 2, n_out), j
        assert (r["prompt_tokens"], r["cached_tokens"], r["completion_tokens"]) == (n_in, 2, n_out), r
        assert Decimal(r["cost_usd"]) == cost(n_in, 2, n_out) and r["estimated"] is False, r
        total += cost(n_in, 2, n_out)
    agree_on_money(wide, token, total)


def agree_on_money(router, token, total):
    credits = router.ok("GET", "/api/credits", token=token)
    assert Decimal(credits["spent_usd"]) == total
    assert Decimal(credits["balance_usd"]) == 1000 - total
    wait_until("no hold is left", 10, lambda: Decimal(router.credits(token)["held_usd"]) == 0)
    report = router.ok("GET", "/api/admin/system/ledger", token=router.admin())
    assert report["ok"] is True and Decimal(report["sum_usd"]) == 0, report


def test_a_thousand_streams_at_once_are_whole_and_billed(wide, payer):
    token, key = payer
    paced = {"streams": STREAMS, "tokens": TOKENS, "delay_ms": DELAY_MS, "ramp_ms": 1000}
    direct = result(start_loadgen(wide.upstream.port, "x", "streams", **paced))
    before = wide.upstream.stats()
    begun = time.monotonic()
    routed = result(start_loadgen(wide.port, key, "streams", **paced))
    took = time.monotonic() - begun
    print(f"{STREAMS} streams in {took:.1f} s; first token p99 {routed['ttft_p99_ms']} ms, direct {direct['ttft_p99_ms']} ms")
    assert [routed[k] for k in ("broken", "refused", "cut", "no_done", "lost", "reordered")] == [0] * 6, routed
    assert routed["tokens"] == STREAMS * TOKENS
    assert routed["with_usage"] == 0, "usage was not asked for and must be hidden"
    assert wide.upstream.stats()["completed"] - before["completed"] == STREAMS

    total = Decimal(0)
    for r in ledger_rows(wide, token, STREAMS).values():
        assert (r["completion_tokens"], r["status"], r["stream"], r["estimated"]) == (TOKENS, "ok", True, False), r
        assert Decimal(r["cost_usd"]) == cost(r["prompt_tokens"], 0, TOKENS)
        total += Decimal(r["cost_usd"])
    agree_on_money(wide, token, total)
