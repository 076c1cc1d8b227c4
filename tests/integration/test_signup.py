"""SIGNUP: who may make an account of his own. An invitation is a redemption code: no code, no account."""
import concurrent.futures

import pytest

from router import Router

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def invited():
    with Router(upstream=False, env={"SIGNUP": "invite", "SIGNUP_CREDITS_USD": "1"}) as r:
        yield r


def sign_up(router, name, **fields):
    return router.call("POST", "/auth/register", {"email": f"{name}@example.com", "password": PASSWORD, **fields})


def make_code(router, amount="2", **fields):
    return router.ok("POST", "/api/admin/codes", {"amount_usd": amount, **fields}, router.admin())["data"][0]


def emails(router):
    return {u["email"] for u in router.ok("GET", "/api/admin/users", token=router.admin())["data"]}


def test_closed_is_closed_with_a_code_too():
    with Router(upstream=False, env={"SIGNUP": "closed"}) as r:
        a = sign_up(r, "ann", code=make_code(r)["code"])
        assert (a.status, a.error["code"], a.error["param"]) == (403, "signup_closed", None)


def test_an_invitation_makes_one_account_with_its_credit(invited):
    a = sign_up(invited, "ann")
    assert (a.status, a.error["code"], a.error["param"]) == (403, "code_required", "code"), a.error
    code = make_code(invited, "2", note="the team")
    a = sign_up(invited, "ann", code=code["code"])
    assert a.status == 201, a.error
    token = a.json()["access_token"]
    assert invited.credits(token)["balance_usd"] == "3"  # the sign-up's and the code's
    assert [(e["kind"], e["amount_usd"]) for e in invited.ok("GET", "/api/credits/ledger", token=token)["data"]] == [
        ("code", "2"), ("signup", "1")]
    b = sign_up(invited, "bea", code=code["code"])
    assert (b.status, b.error["code"], b.error["param"]) == (409, "code_redeemed", "code")
    assert "bea@example.com" not in emails(invited), "who is refused has no account"
    assert sign_up(invited, "bea", code=make_code(invited)["code"]).status == 201, "nor is the address taken"
    assert code["code"] not in invited.logs()


def test_who_has_an_account_loses_no_code(invited):
    assert sign_up(invited, "cat", code=make_code(invited)["code"]).status == 201
    code = make_code(invited)["code"]
    a = sign_up(invited, "cat", code=code)
    assert (a.status, a.error["code"]) == (409, "email_taken")
    assert sign_up(invited, "cat2", code=code).status == 201


def test_one_code_raced_for_is_one_account(invited):
    code = make_code(invited)["code"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda i: sign_up(invited, f"race{i}", code=code).status, range(8)))
    assert sorted(seen) == [201] + [409] * 7
    assert len([e for e in emails(invited) if e.startswith("race")]) == 1
    report = invited.ok("GET", "/api/admin/system/ledger", token=invited.admin())
    assert report["ok"] and report["problems"] == []


def test_codes_cannot_be_guessed(invited):
    guesses = [sign_up(invited, "dan", code=f"rc-{i}") for i in range(11)]
    assert [g.status for g in guesses] == [404] * 10 + [429]
    assert guesses[0].error["code"] == "code_not_found" and guesses[0].error["param"] == "code"
    assert int(guesses[-1].headers["retry-after"]) > 0
    assert "dan@example.com" not in emails(invited)
    assert sign_up(invited, "eve", code=make_code(invited)["code"]).status == 201, "others are not kept from it"


def test_open_takes_a_code_as_well():
    with Router(upstream=False, env={"SIGNUP": "open", "SIGNUP_CREDITS_USD": "0"}) as r:
        assert sign_up(r, "ann").status == 201
        a = sign_up(r, "bea", code=make_code(r, "0.5")["code"])
        assert a.status == 201 and r.credits(a.json()["access_token"])["balance_usd"] == "0.5"
