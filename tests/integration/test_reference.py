"""docs/openapi.yaml is true: what the router answers is what it describes."""
import re
import time
import urllib.parse

import pytest

from openapi import Reference
from router import ROOT, Events, Router

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
            "/console/{file}": "index.html",
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
            if "200" not in operation["responses"]:
                wrong += [] if str(a.status) in operation["responses"] else [f"{url}: {a}"]
                continue
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


ROUTE = re.compile(r'^    (CALL|PLAIN|SERVE)\("(\w+|\*)", +("[^"]+"|REST),([^}]*?)\),?(?: /\*.*\*/)?$', re.M)
OURS = {"actor_id", "client_ip", "session_id", "idempotency_key", "create"}  # set by the gateway


def messages():
    """{message: {member as JSON has it: (required, limit)}}, from docs/proto.md."""
    found = {}
    for name, table in re.findall(r"^### (\w+)\n(.*?)(?=^###|\Z)", (ROOT / "docs" / "proto.md").read_text(), re.M | re.S):
        rows = re.findall(r"^\| \d+ \| `(\w+)` \| [^|]+ \|([^|]*)\| (\d+) \|", table, re.M)
        found[name] = {re.sub("_pico$", "", re.sub("_nano$", "_usd", f)): (need.strip() == "yes", int(limit)) for f, need, limit in rows}
    return found


def test_every_route_is_described_with_its_arguments():
    """gateway/routes.c and the messages that its routes become say the same as the reference: paths, members, what is required, bounds where they are said."""
    reference, declared = Reference(), messages()
    rows = ROUTE.findall((ROOT / "gateway" / "routes.c").read_text())
    routes = {(method.lower(), path.strip('"').replace("*}", "}")) for _, method, path, _ in rows if path != "REST"}
    described = {(m, path) for path, methods in reference.paths.items() for m in methods}
    assert routes == described and len(routes) > 80
    calls = [(method, path.strip('"'), *(word.strip() for word in rest.split(","))) for kind, method, path, rest in rows if kind == "CALL"]
    named = {(call[5], n) for call in calls for n in re.findall(r"{(\w+)}", call[1])}  # one of a list has a path of its own
    wrong = []
    for method, path, _, _, _, message, _, flags in calls:
        at = f"{method} {path}"
        operation = reference.paths[path][method.lower()]
        taken = {n: f for n, f in declared[message].items() if n not in OURS | set(re.findall(r"{(\w+)}", path))}
        if "ROUTE_EVERYBODY" not in flags:
            taken.pop("user", None)
        if "ROUTE_SELF" in flags or "ROUTE_NO_BODY" in flags:
            taken = {}
        said = {p["name"]: (p["schema"], p.get("required", False)) for p in operation.get("parameters", []) if p["in"] == "query"}
        if "requestBody" in operation:
            body = reference.schema(operation["requestBody"]["content"]["application/json"]["schema"])
            said |= {n: (s, n in body.get("required", [])) for n, s in body["properties"].items()}
            if operation["requestBody"].get("required", False) < any(required for _, required in said.values()):
                wrong.append(f"{at}: the body is required")
        if "ROUTE_FIRST" not in flags:  # whose other members narrow a list of one
            wrong += [f"{at}: {n} is not described" for n in taken if n not in said and n != "unused" and (message, n) not in named]
        wrong += [f"{at}: {n} is not taken" for n in said if n not in taken]
        for n, (schema, required) in said.items():
            due, limit = taken.get(n, (required, 0))
            if due and not required:
                wrong.append(f"{at}: {n} is required")
            wrong += [f"{at}: {n} takes {limit} at most, not {schema[b]}" for b in ("maxLength", "maximum", "maxItems") if schema.get(b, limit) != limit]
    assert wrong == [], "\n".join(wrong)


def too_much(schema):
    """Values one beyond each bound that a member has."""
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "maxItems" in schema:
        yield ["x" if schema["items"].get("type") == "string" else {"provider": "p", "model": "m"}] * (schema["maxItems"] + 1)
    if "enum" in schema:
        yield "none-of-these"


def test_what_exceeds_a_bound_is_refused_by_its_name(router, admin):
    reference, wrong, n = Reference(), [], 0
    ids = {"/api/admin/users/": router.ok("GET", "/auth/me", token=admin)["id"], "/api/admin/providers/": "bound"}
    router.ok("POST", "/api/admin/providers", {"name": "bound", "kind": "echo", "disabled": True}, admin)
    for path, methods in reference.paths.items():
        if not path.startswith(("/api/", "/auth/")):
            continue
        for method, operation in methods.items():
            url = re.sub(r"{\w+}", next((i for begin, i in ids.items() if path.startswith(begin)), "x"), path)
            asked = [(p["name"], url + "?" + urllib.parse.urlencode({p["name"]: v}), None) for p in operation.get("parameters", []) if p["in"] == "query" for v in too_much(p["schema"])]
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if media:
                members = reference.schema(media["schema"])["properties"]
                asked += [(name, url, {**media.get("example", {}), name: v}) for name, s in members.items() for v in too_much(reference.resolve(s))]
            for name, where, body in asked:
                a = router.call(method.upper(), where, body, admin)
                n += 1
                if a.status != 400 or a.json()["error"]["param"] != name:
                    wrong.append(f"{method} {path}: {name}: {a}")
    router.ok("DELETE", "/api/admin/providers/bound", token=admin)
    assert wrong == [] and n > 90, "\n".join(wrong)
