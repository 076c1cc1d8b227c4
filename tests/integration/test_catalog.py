"""The catalog: providers, models, routes and keys, by the API, by routerctl and by a CONFIG file."""
import json
import os
import pathlib
import secrets
import subprocess
import time

import pytest
from router import BIN, Router, call, wait_until

MASTER = "a-master-key-of-more-than-thirty-two-characters"
KEY = "sk-upstream-" + "0123456789abcdef" * 2
OPENAI = {"name": "team", "kind": "openai", "base_url": "https://api.example.com/v1", "api_keys": [KEY, "${TEAM_KEY}"]}


@pytest.fixture(scope="module")
def shop():
    """A router of our own: what is in its catalog is nobody else's."""
    with Router(env={"MASTER_KEY": MASTER, "PLACE": "eu"}) as r:
        r.token = r.admin()
        yield r


def name():
    return "p" + secrets.token_hex(5)


def provider(shop, **fields):
    return shop.ok("POST", "/api/admin/providers", {"name": name(), "kind": "openai", **fields}, shop.token)


def model(shop, **fields):
    body = {"name": "m" + secrets.token_hex(5), "routes": [{"provider": "openai", "model": "gpt-4o-mini"}], **fields}
    return shop.ok("POST", "/api/admin/models", body, shop.token)


def refused(shop, method, path, body, status, param=None, words=""):
    a = shop.call(method, path, body, shop.token)
    assert a.status == status, a
    assert param is None or a.error["param"] == param, a
    assert words in a.error["message"], a
    return a


def ctl(shop, *words, check=True, stdin=None):
    env = {**os.environ, "ROUTER_URL": f"http://127.0.0.1:{shop.port}", "ROUTER_TOKEN": shop.token}
    env.pop("CONFIG", None)
    done = subprocess.run([str(BIN / "routerctl"), *words], env=env, input=stdin, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done
    return done


# ---- providers


def test_a_provider_is_made_looked_at_changed_and_removed(shop):
    p = shop.ok("POST", "/api/admin/providers", {**OPENAI, "connect_ms": 500, "disconnect": "drain"}, shop.token)
    assert p["kind"] == "openai" and p["connect_ms"] == 500 and p["source"] == "api"
    hints = [k["hint"] for k in p["keys"]]
    assert hints == ["…cdef", "${TEAM_KEY}"] and all(k["id"].startswith("ukey_") for k in p["keys"])
    assert shop.ok("GET", "/api/admin/providers/team", token=shop.token) == p
    refused(shop, "POST", "/api/admin/providers", OPENAI, 409, "name")
    changed = shop.ok("PATCH", "/api/admin/providers/team", {"api_keys": ["${TEAM_KEY}", KEY, "sk-another-key-that-is-long"]}, shop.token)
    assert [k["id"] for k in changed["keys"]][:2] == [p["keys"][1]["id"], p["keys"][0]["id"]], "a key that stays keeps its id"
    assert changed["connect_ms"] == 500
    assert [x["name"] for x in shop.ok("GET", "/api/admin/providers", token=shop.token)["data"]].count("team") == 1
    assert shop.call("DELETE", "/api/admin/providers/team", token=shop.token).status == 204
    assert shop.call("GET", "/api/admin/providers/team", token=shop.token).status == 404
    assert shop.call("DELETE", "/api/admin/providers/team", token=shop.token).status == 404
    again = shop.ok("POST", "/api/admin/providers", {"name": "team", "kind": "openai"}, shop.token)
    assert again["keys"] == [], "nothing of the one that was removed lives on"
    shop.call("DELETE", "/api/admin/providers/team", token=shop.token)


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"name": "with space"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "tab\t"}, "name"),
        ({"name": ""}, "name"),
        ({"kind": "openia"}, "kind"),
        ({"kind": None}, "kind"),
        ({"base_url": "ftp://host"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"base_url": "https://user:pw@host/v1"}, "base_url"),
        ({"base_url": "https://host/v1?x=1"}, "base_url"),
        ({"base_url": "https://host/v1#x"}, "base_url"),
        ({"base_url": "https://host:99999"}, "base_url"),
        ({"base_url": "https://ho st"}, "base_url"),
        ({"kind": "azure"}, "base_url"),
        ({"api_version": "2024-10-21"}, "api_version"),
        ({"chat_only": "yes"}, "chat_only"),
        ({"kind": "anthropic", "chat_only": True}, "chat_only"),
        ({"kind": "azure", "base_url": "https://x.example.com", "chat_only": True}, "chat_only"),
        ({"disconnect": "wait"}, "disconnect"),
        ({"connect_ms": 1}, "connect_ms"),
        ({"first_byte_ms": 99}, "first_byte_ms"),
        ({"idle_ms": 999999999}, "idle_ms"),
        ({"total_ms": -1}, "total_ms"),
        ({"drop_params": ["model"]}, "drop_params[0]"),
        ({"drop_params": ["a b"]}, "drop_params[0]"),
        ({"api_keys": ["two words"]}, "api_keys[0]"),
        ({"api_keys": [""]}, "api_keys[0]"),
        ({"api_keys": ["…cdef"]}, "api_keys[0]"),
        ({"api_keys": ["sk-${NAME}"]}, "api_keys[0]"),
        ({"api_keys": ["${lower}"]}, "api_keys[0]"),
        ({"api_keys": ["${MASTER_KEY}"]}, "api_keys[0]"),
        ({"api_keys": ["${JWT_SECRET}"]}, "api_keys[0]"),
        ({"api_keys": ["${ADMIN_PASSWORD}"]}, "api_keys[0]"),
        ({"api_keys": [KEY, KEY]}, "api_keys"),
        ({"api_keys": "sk"}, "api_keys"),
        ({"api_keys": ["k" * 1025]}, "api_keys"),
        ({"api_keys": [f"key-{i}" for i in range(33)]}, "api_keys"),
        ({"api_keyz": []}, "api_keyz"),
        ({"actor_id": "usr_x"}, "actor_id"),
        ({"create": False}, "create"),
    ],
)
def test_a_wrong_provider_is_refused_by_the_name_of_its_field(shop, fields, param):
    body = {"name": name(), "kind": "openai", **fields}
    refused(shop, "POST", "/api/admin/providers", body, 400, param)
    assert body["name"] not in [p["name"] for p in shop.ok("GET", "/api/admin/providers?limit=500", token=shop.token)["data"]]


def test_a_provider_may_be_without_a_responses_api(shop):
    p = provider(shop, chat_only=True)
    path = "/api/admin/providers/" + p["name"]
    assert p["chat_only"] is True and shop.ok("GET", path, token=shop.token)["chat_only"] is True
    assert [x.get("chat_only") for x in shop.ok("GET", "/api/admin/providers?limit=500", token=shop.token)["data"] if x["name"] == p["name"]] == [True]
    assert shop.ok("PATCH", path, {"drop_params": ["user"]}, shop.token)["chat_only"] is True, "what is left out stays"
    refused(shop, "PATCH", path, {"kind": "anthropic"}, 400, "chat_only")
    assert not shop.ok("PATCH", path, {"chat_only": False}, shop.token).get("chat_only")
    assert not shop.ok("GET", path, token=shop.token).get("chat_only")
    # in a CONFIG file, where what is left out is the default
    row = f"providers:\n  - {{name: {p['name']}, kind: openai%s}}\n"
    done = shop.ok("POST", "/api/admin/config", {"text": row % ", chat_only: true"}, shop.token)
    assert "chat_only" in done["data"][0]["detail"], done
    assert shop.ok("GET", path, token=shop.token)["chat_only"] is True
    assert "    chat_only: true\n" in shop.ok("GET", "/api/admin/config", token=shop.token)["text"]
    shop.ok("POST", "/api/admin/config", {"text": row % ""}, shop.token)
    assert not shop.ok("GET", path, token=shop.token).get("chat_only")


def test_only_administrators_see_the_catalog(shop):
    _, token = shop.user(admin=shop.token)
    for path in ("providers", "models", "config", "audit"):
        assert shop.call("GET", f"/api/admin/{path}", token=token).status == 403
        assert shop.call("GET", f"/api/admin/{path}").status == 401
    assert shop.call("POST", "/api/admin/providers", OPENAI, token).status == 403
    assert shop.call("POST", "/api/admin/config", {"text": ""}, token).status == 403


def test_providers_come_and_go_more_often_than_fit_at_one_time(shop):
    """The last of many is served as the first was."""
    _, token = shop.user(admin=shop.token)
    key = shop.new_key(token)
    body = {"kind": "openai", "base_url": shop.upstream.url, "api_keys": ["sk-x"], "internal": True}
    for i in range(210):
        shop.ok("POST", "/api/admin/providers", {**body, "name": f"passing-{i}"}, shop.token)
        if i % 20 == 0:
            served(shop, key, f"passing-{i}")
        assert shop.call("DELETE", f"/api/admin/providers/passing-{i}", token=shop.token).status == 204
    shop.ok("POST", "/api/admin/providers", {**body, "name": "the-last"}, shop.token)
    served(shop, key, "the-last")
    checks = [c["name"] for s in shop.ok("GET", "/health/detailed")["services"] for c in s.get("checks", [])]
    assert "provider:the-last" in checks and not [c for c in checks if c.startswith("provider:passing-")]
    assert shop.call("DELETE", "/api/admin/providers/the-last", token=shop.token).status == 204


def served(shop, key, provider):
    m = model(shop, routes=[{"provider": provider, "model": "llama"}], price={"input": "1", "output": "1"})["name"]
    wait_until(f"{provider} answers", 10, lambda: shop.chat(key, "[[tokens=1]]", model=m).status == 200)
    assert shop.call("DELETE", f"/api/admin/models/{m}", token=shop.token).status == 204


def test_no_more_providers_than_are_served(shop):
    here = len(shop.ok("GET", "/api/admin/providers?limit=500", token=shop.token)["data"])
    made = [provider(shop)["name"] for _ in range(100 - here)]
    refused(shop, "POST", "/api/admin/providers", {"name": "one-more", "kind": "openai"}, 400, "name", "at most 100 providers")
    for p in made:
        assert shop.call("DELETE", f"/api/admin/providers/{p}", token=shop.token).status == 204


# ---- models


def test_a_model_is_made_looked_at_changed_and_removed(shop):
    spare = provider(shop)["name"]
    body = {
        "name": "acme/chat:large",
        "aliases": ["chat", "default"],
        "routes": [{"provider": "openai", "model": "gpt-4o-mini", "weight": 3}, {"provider": spare, "model": "org/x:8b", "tier": 2}],
        "max_output": 1000,
        "price": {"input": "0.15", "cached_input": "0.075", "output": "0.6"},
    }
    m = shop.ok("POST", "/api/admin/models", body, shop.token)
    assert m["routes"] == [{"provider": "openai", "model": "gpt-4o-mini", "tier": 1, "weight": 3}, {"provider": spare, "model": "org/x:8b", "tier": 2, "weight": 1}]
    assert m["own_price"] and m["price"]["input"] == "0.15" and m["routing"] == "weighted" and m["source"] == "api"
    path = "/api/admin/models/acme%2Fchat%3Alarge"
    for p in (path, "/api/admin/models/chat"):
        assert shop.ok("GET", p, token=shop.token)["price"]["id"] == m["price"]["id"]
    refused(shop, "DELETE", f"/api/admin/providers/{spare}", None, 409, "name", "acme/chat:large")
    changed = shop.ok("PATCH", path, {"aliases": ["default"], "routes": [{"provider": "echo", "model": "echo"}]}, shop.token)
    assert changed["aliases"] == ["default"] and len(changed["routes"]) == 1 and changed["own_price"] and changed["max_output"] == 1000
    assert shop.call("GET", "/api/admin/models/chat", token=shop.token).status == 404
    same = shop.ok("PATCH", path, {"price": {"input": "0.15", "cached_input": "0.0750", "output": "0.60"}}, shop.token)
    assert same["price"]["id"] == m["price"]["id"], "the same price makes no new version"
    dearer = shop.ok("PATCH", path, {"price": {"input": "0.15", "output": "0.7"}}, shop.token)
    assert dearer["price"]["id"] > m["price"]["id"] and dearer["price"]["cached_input"] is None
    versions = shop.ok("GET", "/api/admin/prices?history=true&model=acme%2Fchat%3Alarge", token=shop.token)["data"]
    assert [v["output"] for v in versions] == ["0.7", "0.6"]
    assert not shop.ok("PATCH", path, {"own_price": False}, shop.token)["own_price"]
    assert shop.ok("PATCH", path, {"own_price": True}, shop.token)["own_price"]
    assert shop.call("DELETE", path, token=shop.token).status == 204
    assert shop.call("GET", path, token=shop.token).status == 404
    assert shop.call("DELETE", f"/api/admin/providers/{spare}", token=shop.token).status == 204


ROUTE = {"provider": "openai", "model": "x"}


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"name": "with space"}, "name"),
        ({"name": "m" * 257}, "name"),
        ({"name": "taken-alias"}, "name"),
        ({"aliases": ["taken"]}, "aliases[0]"),
        ({"aliases": ["taken-alias"]}, "aliases[0]"),
        ({"aliases": ["a", "a"]}, "aliases[1]"),
        ({"name": "own", "aliases": ["own"]}, "aliases[0]"),
        ({"aliases": ["a b"]}, "aliases[0]"),
        ({"aliases": [f"a{i}" for i in range(65)]}, "aliases"),
        ({"routes": []}, "routes"),
        ({"routes": None}, "routes"),
        ({"routes": [{"provider": "nobody", "model": "x"}]}, "routes[0].provider"),
        ({"routes": [{"provider": "openai"}]}, "routes[0].model"),
        ({"routes": [{"model": "x"}]}, "routes[0].provider"),
        ({"routes": [ROUTE, ROUTE]}, "routes[1]"),
        ({"routes": [{**ROUTE, "tier": 0}]}, "routes[0].tier"),
        ({"routes": [{**ROUTE, "weight": 0}]}, "routes[0].weight"),
        ({"routes": [{**ROUTE, "tier": 1001}]}, "routes[0].tier"),
        ({"routes": [{**ROUTE, "weight": 1000001}]}, "routes[0].weight"),
        ({"routes": [{"provider": "openai", "model": f"x{i}"} for i in range(17)]}, "routes"),
        ({"routing": "random"}, "routing"),
        ({"max_output": 10**10}, "max_output"),
        ({"price": {"input": "1"}}, "price.output"),
        ({"price": {"output": "1"}}, "price.input"),
        ({"price": {"input": "-1", "output": "1"}}, "price.input"),
        ({"price": {"input": "0.0000001", "output": "1"}}, "price.input"),
        ({"price": {"input": "1", "output": "1", "tier_input": "1"}}, "price.tier_above_tokens"),
        ({"price": {"input": "1", "output": "1", "valid_from": 1}}, "price.valid_from"),
        ({"own_price": True}, "own_price"),
        ({"own_price": False, "price": {"input": "1", "output": "1"}}, "own_price"),
    ],
)
def test_a_wrong_model_is_refused_by_the_name_of_its_field(shop, fields, param):
    if shop.call("GET", "/api/admin/models/taken", token=shop.token).status == 404:
        model(shop, name="taken", aliases=["taken-alias"])
    body = {"name": "m" + secrets.token_hex(5), "routes": [ROUTE], **fields}
    refused(shop, "POST", "/api/admin/models", body, 400, param)
    if body["name"].startswith("m") and len(body["name"]) < 100 and "price" in fields:
        assert shop.ok("GET", f"/api/admin/prices?model={body['name']}", token=shop.token)["data"] == [], "nothing of it stays"


def test_lists_have_pages(shop):
    made = sorted(model(shop)["name"] for _ in range(5))
    seen, cursor = [], ""
    while True:
        page = shop.ok("GET", f"/api/admin/models?limit=2{cursor}", token=shop.token)
        assert len(page["data"]) <= 2
        seen += [m["name"] for m in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sorted(seen) and set(made) <= set(seen)


def test_changes_are_audited_and_secrets_masked(shop):
    p = provider(shop, api_keys=["sk-audited-" + "x" * 30 + "tail"])
    shop.ok("PATCH", f"/api/admin/providers/{p['name']}", {"disabled": True}, shop.token)
    shop.call("DELETE", f"/api/admin/providers/{p['name']}", token=shop.token)
    rows = [r for r in shop.ok("GET", "/api/admin/audit", token=shop.token)["data"] if r["object"] == p["name"]]
    assert [r["action"] for r in rows] == ["provider.delete", "provider.update", "provider.create"]
    assert json.loads(rows[1]["detail"]) == {"disabled": True} and rows[0]["actor_id"].startswith("usr_")
    assert "…tail" in rows[2]["detail"] and "sk-audited" not in json.dumps(rows)
    before = shop.ok("GET", "/api/admin/audit?limit=1", token=shop.token)
    assert before["has_more"]
    m = model(shop)
    shop.ok("PATCH", f"/api/admin/models/{m['name']}", {"max_output": 0}, shop.token)
    after = shop.ok("GET", "/api/admin/audit?limit=1", token=shop.token)["data"][0]
    assert after["action"] == "model.create" and after["object"] == m["name"], "what changes nothing is no entry"


# ---- the file


FILE = """
providers:
  - name: main
    kind: openai
    base_url: https://${PLACE}.example.com/v1
    api_keys: ["${MAIN_KEY}", "sk-literal-key-in-a-file-0001"]
    timeouts: {connect_ms: 2000, total_ms: 600000}
models:
  - name: team-chat
    aliases: [chat, default]
    routes:
      - {provider: main, model: gpt-4o-mini, tier: 1, weight: 3}
      - {provider: echo, model: echo, tier: 2}
    price: {input: "0.15", cached_input: 0.075, output: "0.60"}
    max_output: 16384
"""


def actions(rows):
    return {(r["object"], r["name"]): r["action"] for r in rows["data"]}


def test_a_file_seeds_the_catalog_at_every_start():
    with Router(env={"MASTER_KEY": MASTER, "PLACE": "eu"}) as r:
        path = r.folder / "config.yaml"
        path.write_text(FILE)
        r.extra["CONFIG"] = str(path)
        r.stop()
        r.start()
        admin = r.admin()
        p = r.ok("GET", "/api/admin/providers/main", token=admin)
        assert p["base_url"] == "https://eu.example.com/v1" and p["source"] == "config" and p["connect_ms"] == 2000
        assert [k["hint"] for k in p["keys"]] == ["${MAIN_KEY}", "…0001"]
        m = r.ok("GET", "/api/admin/models/chat", token=admin)
        assert m["name"] == "team-chat" and m["price"]["cached_input"] == "0.075" and m["routes"][0]["weight"] == 3
        entries = len(r.ok("GET", "/api/admin/audit", token=admin)["data"])
        r.stop()
        r.start()
        admin = r.admin()
        assert r.ok("GET", "/api/admin/providers/main", token=admin) == p, "the same file changes nothing, a key least of all"
        assert len(r.ok("GET", "/api/admin/audit", token=admin)["data"]) == entries
        # the API's word stays; the file's own objects follow the file
        r.ok("PATCH", "/api/admin/providers/main", {"connect_ms": 777}, admin)
        path.write_text(FILE.replace("16384", "9999").replace("2000", "1000").replace("[chat, default]", "[chat]"))
        r.stop()
        r.start()
        admin = r.admin()
        p = r.ok("GET", "/api/admin/providers/main", token=admin)
        assert p["connect_ms"] == 777 and p["source"] == "api"
        m = r.ok("GET", "/api/admin/models/team-chat", token=admin)
        assert m["max_output"] == 9999 and m["aliases"] == ["chat"]
        # applied by hand the file has the last word
        text = path.read_text()
        dry = r.ok("POST", "/api/admin/config", {"text": text, "dry_run": True}, admin)
        assert dry["dry_run"] and actions(dry) == {("provider", "main"): "changed", ("model", "team-chat"): "unchanged"}
        assert r.ok("GET", "/api/admin/providers/main", token=admin)["connect_ms"] == 777
        done = r.ok("POST", "/api/admin/config", {"text": text}, admin)
        assert actions(done) == actions(dry)
        p = r.ok("GET", "/api/admin/providers/main", token=admin)
        assert p["connect_ms"] == 1000 and p["source"] == "config"
        pruned = r.ok("POST", "/api/admin/config", {"text": "providers: []\n", "prune": True}, admin)
        assert actions(pruned) == {("provider", "main"): "removed", ("model", "team-chat"): "removed"}
        assert r.ok("GET", "/api/admin/models", token=admin)["data"] == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("providers:\n  - name: a\n    knd: openai\n", "line 3: unknown member 'knd' in providers[0]"),
        ("providers: [\n", "line"),
        ("models:\n  - name: x\n    routes: [{provider: nobody, model: y}]\n", "models[0] (x): Invalid 'routes[0].provider'"),
        ("models:\n  - name: x\n    max_output: many\n", "models[0] (x): Invalid type for 'max_output'"),
        ("providers:\n  - {name: a, kind: openai, base_url: 'https://${NOT_SET_HERE}'}\n", "${NOT_SET_HERE} is not set"),
        ("providers:\n  - {name: a, kind: openai, base_url: 'https://${JWT_SECRET}'}\n", "${JWT_SECRET} is a secret of the router"),
        ("providers:\n  - {name: a, kind: openai, api_keys: ['${MASTER_KEY}']}\n", "${MASTER_KEY} is a secret of the router"),
        ("providers:\n  - &x {name: a}\n  - *x\n", "alias"),
        ("a: 1\n", "unknown member 'a'"),
    ],
)
def test_a_wrong_file_stops_the_start_with_one_line(tmp_path, text, words):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    env = {"PATH": os.environ["PATH"], "CONFIG": str(path), "DB_PATH": str(tmp_path / "db" / "app.db"), "ADMIN_PASSWORD": "a-password-for-it", "MASTER_KEY": MASTER}
    for where in ("METERD_URL", "METERD_FEED_URL", "METERD_EVENTS_URL", "AUTHSVC_URL"):
        env[where] = f"ipc://{tmp_path}/{where}.ipc"
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    done = subprocess.run([str(BIN / "meterd")], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if "CONFIG: " in line]
    assert len(lines) == 1 and str(path) in lines[0] and words in lines[0], done.stderr


def test_a_file_with_one_mistake_changes_nothing(shop):
    before = shop.ok("GET", "/api/admin/config", token=shop.token)["text"]
    text = "providers:\n  - {name: fine, kind: openai}\nmodels:\n  - {name: bad, routes: [{provider: nope, model: x}]}\n"
    refused(shop, "POST", "/api/admin/config", {"text": text}, 400, "models[0].routes[0].provider", "models[0] (bad)")
    assert shop.ok("GET", "/api/admin/config", token=shop.token)["text"] == before


def test_names_may_move_between_models_of_a_file(shop):
    text = "models:\n  - {name: left, aliases: [%s], routes: [{provider: echo, model: echo}]}\n  - {name: right, aliases: [%s], routes: [{provider: echo, model: echo}]}\n"
    shop.ok("POST", "/api/admin/config", {"text": text % ("one", "two")}, shop.token)
    done = shop.ok("POST", "/api/admin/config", {"text": text % ("two", "one")}, shop.token)
    assert set(actions(done).values()) == {"changed"}
    assert shop.ok("GET", "/api/admin/models/one", token=shop.token)["name"] == "right"


def test_what_is_exported_can_be_applied(shop):
    provider(shop, api_keys=["${SOME_KEY}"], drop_params=["user"], idle_ms=1000, internal=True, chat_only=True)
    provider(shop, api_keys=["sk-a-key-that-cannot-be-exported"])
    model(shop, aliases=['quo"ted', "ünï"], price={"input": "1.5", "output": "3", "tier_above_tokens": 1000, "tier_input": "2", "tier_output": "4"})
    text = shop.ok("GET", "/api/admin/config", token=shop.token)["text"]
    assert "sk-a-key" not in text and "${SOME_KEY}" in text
    shop.ok("POST", "/api/admin/config", {"text": text}, shop.token)
    again = shop.ok("POST", "/api/admin/config", {"text": text}, shop.token)
    assert set(actions(again).values()) == {"unchanged"}
    assert shop.ok("GET", "/api/admin/config", token=shop.token)["text"] == text


# ---- routerctl


def test_routerctl_speaks_of_it_all(shop, tmp_path):
    p, m = name(), "m" + secrets.token_hex(5)
    ctl(shop, "provider", "add", p, "openai", "--base-url", "http://127.0.0.1:1/v1", "--api-keys", "-", stdin=KEY + "\n${OTHER}\n")
    assert ctl(shop, "provider", "show", p, "--field", "keys.1.hint").stdout == "${OTHER}\n"
    ctl(shop, "provider", "set", p, "--disabled", "true", "--drop-params", "user,seed", "--chat-only", "true")
    assert ctl(shop, "provider", "show", p, "--field", "chat_only").stdout == "yes\n"
    assert "chat_only" in ctl(shop, "provider", "list", "--limit", "500").stdout
    assert p in ctl(shop, "provider", "list", "--limit", "500").stdout
    ctl(shop, "model", "add", m, f"{p}/llama3:8b,echo/echo:2,openai/gpt-x:3:40", "--aliases", m + "-a", "--input", "1", "--output", "2")
    got = json.loads(ctl(shop, "model", "show", m + "-a", "--json").stdout)
    assert [(r["provider"], r["model"], r["tier"], r["weight"]) for r in got["routes"]] == [(p, "llama3:8b", 1, 1), ("echo", "echo", 2, 1), ("openai", "gpt-x", 3, 40)]
    assert got["price"]["output"] == "2"
    ctl(shop, "model", "set", m, "--routes", "echo/echo", "--own-price", "false", "--routing", "latency")
    assert ctl(shop, "model", "show", m, "--field", "routing").stdout == "latency\n"
    assert "neither true nor false" in ctl(shop, "model", "set", m, "--own-price", "maybe", check=False).stderr
    assert "PROVIDER/MODEL" in ctl(shop, "model", "add", "x", "nowhere", check=False).stderr
    failed = ctl(shop, "provider", "test", p, check=False)
    assert failed.returncode == 1
    assert "model.update" in ctl(shop, "audit").stdout
    text = ctl(shop, "config", "export").stdout
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert "unchanged" in ctl(shop, "config", "apply", str(path), "--dry-run").stdout or "changed" in ctl(shop, "config", "apply", str(path), "--dry-run").stdout
    assert "no-such-file" in ctl(shop, "config", "apply", str(tmp_path / "no-such-file"), check=False).stderr
    ctl(shop, "config", "apply", "-", stdin=text)
    ctl(shop, "model", "remove", m)
    ctl(shop, "provider", "remove", p)
    assert ctl(shop, "provider", "remove", p, check=False).returncode == 1


# ---- secrets


def on_disk(folder):
    return b"".join(p.read_bytes() for p in pathlib.Path(folder).rglob("*") if p.is_file())


def test_a_key_is_nowhere_in_the_clear():
    secret = "sk-nowhere-" + secrets.token_hex(20)
    other = "sk-nowhere-" + secrets.token_hex(20)
    with Router(upstream=False, env={"LOG_LEVEL": "debug", "MASTER_KEY": MASTER}) as r:
        admin = r.admin()
        r.ok("POST", "/api/admin/providers", {"name": "vault", "kind": "openai", "api_keys": [secret]}, admin)
        r.ok("PATCH", "/api/admin/providers/vault", {"api_keys": [other, secret]}, admin)
        r.ok("POST", "/api/admin/config", {"text": f"providers:\n  - {{name: vault, kind: openai, api_keys: ['{secret}']}}\n"}, admin)
        bad = r.call("POST", "/api/admin/config", {"text": f"providers:\n  - {{name: vault, kind: openai, api_keys: {{'{secret}': 1}}}}\n"}, admin)
        assert bad.status == 400 and secret not in bad.body.decode()
        for path in ("providers", "providers/vault", "config", "audit"):
            shown = r.call("GET", f"/api/admin/{path}", token=admin).body.decode()
            assert secret not in shown and other not in shown and secret[-20:] not in shown
        r.stop()
        everything = on_disk(r.folder)
        for text in (secret, other, MASTER):
            assert text.encode() not in everything


def test_without_a_master_key_a_key_is_not_stored_and_with_another_not_used():
    if not (BIN / "meterd").exists():
        pytest.skip("four processes are needed: the launcher makes a MASTER_KEY")
    with Router(mode="processes", upstream=False) as r:
        admin = r.admin()
        a = r.call("POST", "/api/admin/providers", {"name": "p", "kind": "openai", "api_keys": [KEY]}, admin)
        assert a.status == 400 and a.error["code"] == "master_key_missing" and "MASTER_KEY" in a.error["message"], a
        r.ok("POST", "/api/admin/providers", {"name": "p", "kind": "openai", "api_keys": ["${P_KEY}"]}, admin)
        r.extra["MASTER_KEY"] = MASTER
        r.stop()
        r.start()
        r.ok("PATCH", "/api/admin/providers/p", {"api_keys": [KEY]}, r.admin())
        r.extra["MASTER_KEY"] = "another-master-key-of-more-than-32-characters"
        r.stop()
        r.start()
        key = r.ok("GET", "/api/admin/providers/p", token=r.admin())["keys"][0]
        log = (r.folder / "meterd.log").read_text()
        assert "upstream_key_does_not_open" in log and key["id"] in log and "p" in log and KEY not in log
        a = r.ok("PATCH", "/api/admin/providers/p", {"api_keys": [KEY]}, r.admin())
        assert a["keys"][0]["id"] != key["id"], "sealed anew"


def test_the_launcher_makes_a_master_key_and_keeps_it():
    with Router(mode="launcher", upstream=False) as r:
        r.ok("POST", "/api/admin/providers", {"name": "p", "kind": "openai", "api_keys": [KEY]}, r.admin())
        kept = r.folder / "db" / "master_key"
        assert kept.stat().st_mode & 0o777 == 0o600 and len(kept.read_text()) >= 32
        text = kept.read_text()
        r.stop()
        r.start()
        assert kept.read_text() == text and "upstream_key_does_not_open" not in r.logs()


# ---- state


def test_a_change_that_was_answered_is_in_force_everywhere():
    """Followers took the record in: their revision is the state's own."""
    with Router(mode="processes", upstream=False, env={"MASTER_KEY": MASTER}) as r:
        admin = r.admin()
        r.ok("POST", "/api/admin/providers", {"name": "fresh", "kind": "echo"}, admin)
        r.ok("POST", "/api/admin/models", {"name": "fresh-model", "routes": [{"provider": "fresh", "model": "echo"}], "price": {"input": "1", "output": "1"}}, admin)
        _, token = r.user(admin=admin)
        key = r.new_key(token)
        assert r.chat(key, model="echo").status == 200, "nobody stumbles over records of a new kind"
        r.processes.pop("authsvc").stop()
        r.start_service("authsvc")
        wait_until("a call works again", 20, lambda: r.chat(key, model="echo").status == 200, every=0.2)


def test_thousands_of_models_fit(shop):
    rows = "".join(f"  - {{name: bulk-{i}, aliases: [alias-{i}], routes: [{{provider: echo, model: echo}}]}}\n" for i in range(2000))
    began = time.monotonic()
    done = shop.ok("POST", "/api/admin/config", {"text": "models:\n" + rows}, shop.token, timeout=120)
    assert len(done["data"]) == 2000 and time.monotonic() - began < 60
    assert call(shop.port, "GET", "/health/ready").status == 200
    done = shop.ok("POST", "/api/admin/config", {"text": "providers: []", "prune": True}, shop.token, timeout=120)
    assert [r["action"] for r in done["data"]].count("removed") >= 2000
