"""docs/openapi.yaml is true: what the router answers is what it describes."""
import time

import pytest

from openapi import Reference
from router import Events, Router

# A provider's own answers, described as such: nothing of ours to compare.
PASSED_ON = {"/v1/chat/completions", "/v1/files", "/v1/files/{id}", "/v1/files/{id}/content", "/v1/batches", "/v1/batches/{id}"}
PASSED_ON |= {"/v1/responses/{id}", "/v1/responses/{id}/input_items"}

NO_ROWS = {"/api/usage", "/api/admin/usage"}  # without group_by


@pytest.fixture(scope="module")
def furnished():
    """A router of our own in which every list has rows: (router, administrator's token, user's token, key, what stands for {…} by path)."""
    with Router(env={"MASTER_KEY": "a-master-key-of-more-than-thirty-two-characters"}) as r:
        admin = r.admin()
        user, token = r.user(admin=admin)
        plain = r.ok("POST", "/api/keys", {"name": "plain"}, token)
        r.ok("POST", "/api/keys", {"name": "bound", "budget_usd": "1", "rpm": 100, "models": ["gpt-*"], "expires_at": int(time.time()) + 3600}, token)
        for provider in ("first", "second"):
            r.ok("POST", "/api/admin/providers", {"name": provider, "kind": "openai", "base_url": f"{r.upstream.url}", "internal": True, "api_keys": ["sk-0123456789abcdef"]}, admin)
        price = {"input": "1", "output": "2", "tier_above_tokens": 1000, "tier_input": "2", "tier_output": "4"}
        for model in ("ours", "others"):
            r.ok("POST", "/api/admin/models", {"name": model, "routes": [{"provider": "first", "model": "gpt-4o-mini"}], "price": price}, admin)
        r.ok("POST", "/api/admin/prices", {"model": "ours", "input": "1", "output": "3"}, admin)
        codes = r.ok("POST", "/api/admin/codes", {"amount_usd": "1", "count": 3}, admin)["data"]
        r.ok("POST", "/api/credits/redeem", {"code": codes[0]["code"]}, token)
        assert r.chat(plain["key"], "[[tokens=5]]", model="ours").status == 200
        assert r.chat(plain["key"], "[[status=500]]").status >= 500
        call = r.settled(token, 2)[-1]["request_id"]
        named = {
            "/api/keys/{id}": plain["id"],
            "/api/usage/requests/{request_id}": call,
            "/api/admin/requests/{request_id}": call,
            "/api/admin/users/{id}": user["id"],
            "/api/admin/providers/{name}": "first",
            "/api/admin/models/{name}": "ours",
            "/v1/models/{model}": "ours",
        }
        running = Events(r, plain["key"], "[[tokens=100000 delay=20]]")
        next(iter(running))
        yield r, admin, token, plain["key"], named
        running.close()


def test_what_is_answered_is_what_is_described(furnished):
    router, admin, token, key, named = furnished
    reference = Reference()
    wrong, called = [], set()
    for path, methods in reference.paths.items():
        if "get" not in methods or path in PASSED_ON:
            continue
        operation = methods["get"]
        kinds = {name for way in operation.get("security", []) for name in way}
        bearer = key if "key" in kinds else None if "session" not in kinds else admin if path.startswith("/api/admin/") else token
        parameters = {p["name"] for p in operation.get("parameters", [])}
        url = path[: path.index("{")] + named[path] if "{" in path else path
        queries = ["", "?limit=1"] if "limit" in parameters else [""]
        if "group_by" in parameters:
            queries.append("?group_by=user,model,key,day" if "user" in parameters else "?group_by=model,key,day")
        for query in queries:
            a = router.call("GET", url + query, token=bearer)
            content = operation["responses"]["200"]["content"]
            kind = a.headers["content-type"].split(";")[0]
            if a.status != 200 or kind not in content:
                wrong.append(f"{url}{query}: {a}")
            elif kind == "application/json":
                wrong += [f"{url}{query}: {d}" for d in reference.differences(content[kind]["schema"], a.json())]
                assert url + query in NO_ROWS or a.json().get("data") != [], f"{url}{query}: a list without rows shows nothing"
        called.add(path)
    assert wrong == [], "\n".join(wrong)
    assert set(named) <= called and PASSED_ON <= set(reference.paths)


def test_a_difference_is_seen():
    """The comparison itself: what is not as described is said, each thing by its place."""
    reference = Reference()
    ref = {"$ref": "#/components/schemas/KeyList"}
    key = {"id": "key_1", "user_id": "usr_1", "name": "n", "prefix": "sk-or-", "status": "active", "created": 1}
    good = {"object": "list", "data": [key], "has_more": False, "next": None}
    assert reference.differences(ref, good) == []
    for change, place in (
        ({"object": "page"}, "answer.object"),
        ({"next": 5}, "answer.next"),
        ({"more": 1}, "answer: more is not described"),
        ({"data": [{**key, "rpm": "5"}]}, "answer.data[0].rpm"),
        ({"data": [{**key, "secret": "x"}]}, "answer.data[0]: secret is not described"),
        ({"data": [{k: v for k, v in key.items() if k != "status"}]}, "answer.data[0]: status is missing"),
    ):
        (said,) = reference.differences(ref, {**good, **change})
        assert said.startswith(place), said
    receipt = reference.schema({"$ref": "#/components/schemas/Receipt"})
    assert {"price", "request_id"} <= set(receipt["properties"]) and "request_id" in receipt["required"]
