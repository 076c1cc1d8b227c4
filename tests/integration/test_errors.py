"""Bad input gets a clear error naming the field, in OpenAI's shape."""
import json
import time

import pytest

GOOD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "[[tokens=1]]"}]}


def check_shape(a):
    e = a.error
    assert set(e) == {"message", "type", "param", "code"}, e
    assert a.headers["content-type"].startswith("application/json")
    assert a.headers["x-request-id"].startswith("req_")
    return e


@pytest.mark.parametrize(
    "change,param,code",
    [
        ({"model": None}, "model", None),
        ({"model": 5}, "model", "invalid_type"),
        ({"messages": None}, "messages", None),
        ({"messages": []}, "messages", None),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [5]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
        ({"max_tokens": -1}, "max_tokens", None),
        ({"max_completion_tokens": -1}, "max_completion_tokens", None),
        ({"n": 0}, "n", None),
        ({"n": 129}, "n", None),
        ({"stream": True, "stream_options": 5}, "stream_options", "invalid_type"),
    ],
)
def test_a_wrong_field_is_named(router, account, change, param, code):
    body = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    a = router.call("POST", "/v1/chat/completions", body, account[2])
    assert a.status == 400, a
    e = check_shape(a)
    assert e["param"] == param
    assert e["type"] == "invalid_request_error"
    if code:
        assert e["code"] == code
    assert a.headers.get("x-should-retry") != "true"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b'{"model":"gpt-4o-mini"', b"\xff\xfe", b'{"a":' * 100 + b"1" + b"}" * 100])
def test_what_is_not_json_is_refused(router, account, raw):
    a = router.call("POST", "/v1/chat/completions", raw, account[2], headers={"content-type": "application/json"})
    assert a.status == 400, a
    check_shape(a)


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer sk-or-wrong"}, {"authorization": "Basic abc"}, {"x-api-key": "nope"}, {"authorization": "Bearer "}]
)
def test_no_key_or_a_wrong_one(router, headers):
    a = router.call("POST", "/v1/chat/completions", GOOD, headers=headers)
    assert a.status == 401, a
    e = check_shape(a)
    assert e["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "method,path,body,status",
    [
        ("GET", "/v1/files/file-abc", None, 404),
        ("DELETE", "/v1/responses/resp_abc", None, 404),
        ("POST", "/v1/responses", {"model": "gpt-4o-mini", "input": "hi", "previous_response_id": "resp_abc"}, 400),
    ],
)
def test_a_wrong_key_does_not_wait_for_an_object(router, account, method, path, body, status):
    began = time.monotonic()
    a = router.call(method, path, body, "sk-or-wrong")
    assert time.monotonic() - began < 0.5
    assert a.status == 401, a
    assert check_shape(a)["code"] == "invalid_api_key"
    assert router.call(method, path, body, account[2]).status == status


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_the_key_may_come_in_other_headers(router, account, name):
    assert router.call("POST", "/v1/chat/completions", GOOD, headers={name: account[2]}).status == 200


def test_unknown_model(router, account):
    a = router.chat(account[2], model="no-such-model")
    assert a.status == 404, a
    e = check_shape(a)
    assert e["code"] == "model_not_found"
    assert "no-such-model" in e["message"]
    assert "price" in e["message"]


def test_unknown_url_and_method(router, account):
    a = router.call("POST", "/v1/no/such", {}, account[2])
    assert a.status == 404 and check_shape(a)["code"] == "unknown_url"
    a = router.call("DELETE", "/v1/chat/completions", token=account[2])
    assert a.status == 405 and check_shape(a)["code"] == "method_not_supported"


def test_another_spelling_of_a_known_url_goes_nowhere(router, account):
    """An upstream may read it as the URL that it resembles, with which admission and ownership have to do."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    before = router.upstream.stats()["requests"]
    for path in ("/v1/%62atches", "/v1//batches", "/v1/batches/", "/v1/%72esponses", "/v1/chat%2Fcompletions", "/v1/Chat/completions",
                 "/v1/chat/completions/", "/openai/deployments/gpt-4o-mini/%63hat/completions"):
        a = router.call("POST", path, body, account[2])
        assert a.status == 404 and check_shape(a)["code"] == "unknown_url", (path, a)
        assert "small letters" in a.error["message"]
    a = router.call("GET", "/v1/%66iles/file-1/content", token=account[2])
    assert a.status == 404 and check_shape(a)["code"] == "unknown_url"
    assert router.upstream.stats()["requests"] == before


def test_a_body_too_large(router, account):
    a = router.call("POST", "/v1/chat/completions", b"x" * (16 * 1024 * 1024 + 1), account[2], headers={"content-type": "application/json"})
    assert a.status == 413, a
    assert check_shape(a)["code"] == "request_too_large"


def test_a_key_that_is_limited_to_other_models(router, account):
    _, token, _ = account
    key = router.new_key(token, models=["gpt-4.1*"])
    assert router.chat(key, "[[tokens=1]]", model="gpt-4.1-mini").status == 200
    a = router.chat(key, "[[tokens=1]]")
    assert a.status == 403, a
    assert check_shape(a)["code"] == "model_not_allowed"
    ids = [m["id"] for m in router.call("GET", "/v1/models", token=key).json()["data"]]
    assert ids and all(i.startswith("gpt-4.1") for i in ids)


def test_rpm_is_exact(router, account):
    _, token, _ = account
    key = router.new_key(token, rpm=3)
    seen = [router.chat(key, "[[tokens=1]]") for _ in range(4)]
    assert [a.status for a in seen] == [200, 200, 200, 429]
    assert seen[0].headers["x-ratelimit-limit-requests"] == "3"
    assert seen[0].headers["x-ratelimit-remaining-requests"] == "2"
    e = check_shape(seen[3])
    assert (e["type"], e["code"]) == ("requests", "rate_limit_exceeded")
    assert 1 <= int(seen[3].headers["retry-after"]) <= 60


def test_tpm(router, account):
    _, token, _ = account
    key = router.new_key(token, tpm=1000)
    a = router.chat(key, "[[tokens=1]]", max_tokens=5000)
    assert a.status == 429, a
    assert check_shape(a)["type"] == "tokens"
    assert a.headers["x-should-retry"] == "false"  # it can never fit
    assert router.chat(key, "[[tokens=1]]", max_tokens=100).status == 200


def test_concurrency_is_freed_before_the_answer_ends(router, account):
    _, token, _ = account
    key = router.new_key(token, concurrency=1)
    for _ in range(30):
        assert router.chat(key, "[[tokens=1]]").status == 200


def test_no_credit(router, admin):
    user, token = router.user(credit=None, admin=admin)
    key = router.new_key(token)
    a = router.chat(key, "[[tokens=1]]")
    assert a.status == 429, a
    e = check_shape(a)
    assert e["code"] == "insufficient_quota"
    assert a.headers["x-should-retry"] == "false"


def test_a_revoked_key_is_refused_at_once(router, account):
    _, token, _ = account
    made = router.ok("POST", "/api/keys", {"name": "gone"}, token)
    assert router.chat(made["key"], "[[tokens=1]]").status == 200
    assert router.call("DELETE", f"/api/keys/{made['id']}", token=token).status in (200, 204)
    assert router.chat(made["key"], "[[tokens=1]]").status == 401


def test_a_disabled_user_is_refused_at_once(router, admin):
    user, token = router.user(admin=admin)
    key = router.new_key(token)
    assert router.chat(key, "[[tokens=1]]").status == 200
    router.ok("PATCH", f"/api/admin/users/{user['id']}", {"status": "disabled"}, admin)
    assert router.chat(key, "[[tokens=1]]").status in (401, 403)
    assert router.call("GET", "/auth/me", token=token).status == 401


def test_unknown_fields_of_the_account_api_are_refused(router, account):
    _, token, _ = account
    a = router.call("POST", "/api/keys", {"name": "x", "role": "admin"}, token)
    assert a.status == 400 and check_shape(a)["param"] == "role"
    a = router.call("POST", "/api/keys", {"name": "x", "actor_id": "usr_other"}, token)
    assert a.status == 400, a
    a = router.call("POST", "/api/keys", {}, token)
    assert a.status == 400 and check_shape(a)["param"] == "name"
    a = router.call("POST", "/api/keys", {"name": "x", "rpm": "many"}, token)
    assert a.status == 400 and check_shape(a)["param"] == "rpm"


def test_error_bodies_are_json_always(router):
    a = router.call("GET", "/no/such/page")
    assert a.status == 404
    json.loads(a.body)


@pytest.mark.parametrize(
    "method,path,body,status,param,code",
    [
        ("GET", "/api/keys/key_nope", None, 404, "id", "key_not_found"),
        ("PATCH", "/api/keys/key_nope", {"name": "x"}, 404, "id", "key_not_found"),
        ("DELETE", "/api/keys/key_nope", None, 404, "id", "key_not_found"),
        ("GET", "/api/keys/LONG", None, 404, "id", "key_not_found"),
        ("GET", "/api/usage/requests/req_nope", None, 404, "request_id", "request_not_found"),
        ("GET", "/api/usage/requests/LONG", None, 404, "request_id", "request_not_found"),
        ("GET", "/api/admin/requests/req_nope", None, 404, "request_id", "request_not_found"),
        ("GET", "/api/admin/users/usr_nope", None, 404, "id", "user_not_found"),
        ("PATCH", "/api/admin/users/usr_nope", {"role": "user"}, 404, "id", "user_not_found"),
        ("PATCH", "/api/admin/users/LONG", {"role": "user"}, 404, "id", "user_not_found"),
        ("DELETE", "/api/admin/codes/nope", None, 404, "id", "code_not_found"),
        ("DELETE", "/api/admin/codes/LONG", None, 404, "id", "code_not_found"),
        ("GET", "/api/admin/providers/nope", None, 404, "name", "provider_not_found"),
        ("PATCH", "/api/admin/providers/nope", {"internal": False}, 404, "name", "provider_not_found"),
        ("DELETE", "/api/admin/providers/nope", None, 404, "name", "provider_not_found"),
        ("POST", "/api/admin/providers/nope/test", None, 404, "name", "provider_not_found"),
        ("GET", "/api/admin/models/nope", None, 404, "name", "model_not_found"),
        ("PATCH", "/api/admin/models/nope", {"max_output": 9}, 404, "name", "model_not_found"),
        ("DELETE", "/api/admin/models/nope", None, 404, "name", "model_not_found"),
        ("DELETE", "/api/admin/models/LONG", None, 404, "name", "model_not_found"),
        ("GET", "/api/keys?cursor=x", None, 400, "cursor", "invalid_value"),
        ("GET", "/api/usage?group_by=colour", None, 400, "group_by", "invalid_value"),
        ("GET", "/api/usage?from=20&to=10", None, 400, "to", "invalid_value"),
        ("GET", "/api/usage/requests?from=20&to=20", None, 400, "to", "invalid_value"),
        ("GET", "/api/usage/requests?status=bogus", None, 400, "status", "invalid_value"),
        ("GET", "/api/usage/requests?cursor=x", None, 400, "cursor", "invalid_value"),
        ("GET", "/api/admin/requests?status=OK", None, 400, "status", "invalid_value"),
        ("GET", "/api/admin/prices?model=echo&history=true&cursor=x", None, 400, "cursor", "invalid_value"),
        ("PATCH", "/api/admin/users/USER", {"role": "king"}, 400, "role", "invalid_value"),
        ("PATCH", "/api/admin/users/USER", {"status": "frozen"}, 400, "status", "invalid_value"),
        ("POST", "/api/admin/users/USER/credits", {"amount_usd": "0"}, 400, "amount_usd", "invalid_value"),
        ("POST", "/api/admin/system/backup", {"name": "../x"}, 400, "name", "invalid_value"),
    ],
)
def test_the_account_api_says_what_is_wrong_in_a_word(router, admin, account, method, path, body, status, param, code):
    a = router.call(method, path.replace("USER", account[0]["id"]).replace("LONG", "x" * 900), body, admin)
    assert a.status == status, a
    e = check_shape(a)
    assert (e["param"], e["code"]) == (param, code), e


@pytest.mark.parametrize(
    "method,path",
    [
        ("POST", "/api/keys?foo=1"),
        ("POST", "/api/keys?revision=1&foo=1"),
        ("PATCH", "/api/admin/plans?foo=1"),
        ("POST", "/auth/login?foo=1"),
        ("POST", "/auth/logout?foo=1"),
        ("GET", "/api/keys?foo=1"),
        ("GET", "/api/admin/system?foo"),
        ("GET", "/api/admin/users/usr_1?foo=1"),
        ("DELETE", "/api/keys/key_1?foo=1"),
    ],
)
def test_a_query_parameter_that_nobody_knows_is_refused(router, admin, method, path):
    name = path.split("?")[1].split("=")[0]
    a = router.call(method, path, {"name": "made by mistake"} if method in ("POST", "PATCH") and "logout" not in path else None, admin)
    assert a.status == 400, a
    e = check_shape(a)
    assert (e["param"], e["code"]) == (name, "unknown_parameter"), e
    assert "made by mistake" not in [k["name"] for k in router.ok("GET", "/api/keys", token=admin)["data"]]


def test_no_body_is_an_empty_object(router, admin):
    made = router.call("POST", "/api/admin/system/backup", token=admin)
    assert made.status == 201 and made.json()["bytes"] > 0, made
    a = router.call("POST", "/api/keys", token=admin)
    assert a.status == 400, a
    assert (check_shape(a)["param"], a.error["code"]) == ("name", "missing_required_parameter"), a
