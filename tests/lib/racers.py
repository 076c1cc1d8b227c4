"""Who races for credit: a user whose call costs exactly what is held for it (input is free, the answer is as long as the limit), so
that credit for a hundred calls is credit for a hundred calls however they interleave."""
import concurrent.futures
import threading
import time
from decimal import Decimal

from burst import request
from router import Events, call, wait_until

PRICE = "100"  # USD for a million output tokens
TOKENS = 16
CALL = Decimal(PRICE) * TOKENS / 1000000


class Watch:
    """Reads a user's credit as fast as it can; keeps the lowest balance and the highest sum of balance and what was spent."""

    def __init__(self, router, token):
        self.router, self.token = router, token
        self.lowest = Decimal("Infinity")
        self.looks = 0
        self.failed = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.is_set():
            try:
                a = self.router.call("GET", "/api/credits", token=self.token)
            except OSError as e:
                self.failed = e
                return
            if a.status == 200:
                self.looks += 1
                self.lowest = min(self.lowest, Decimal(a.json()["balance_usd"]))
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()
        assert self.failed is None, self.failed
        assert self.lowest >= 0, self.lowest


class Racers:
    """A user who pays CALL for a call of the model `race`."""

    def __init__(self, router):
        self.router = router
        self.admin = router.admin()
        router.ok("POST", "/api/admin/prices", {"model": "race", "provider": "openai", "input": "0", "output": PRICE, "max_output": TOKENS}, self.admin)
        self.user, self.token = router.user(credit=None, admin=self.admin)
        self.key = router.new_key(self.token)
        self.paid = 0
        self.before = self.calls()

    def calls(self):
        """Of this model, that came to the upstream."""
        return sum(r["model"] == "race" for r in self.router.upstream.rows())

    def grant(self, calls):
        self.router.ok("POST", f"/api/admin/users/{self.user['id']}/credits", {"amount_usd": str(CALL * calls), "note": "race"}, self.admin)

    def request(self, prompt=f"[[tokens={TOKENS}]]", key=None):
        return request(key or self.key, "race", prompt, max_tokens=TOKENS)

    def streams(self, n, delay):
        """So many calls that run, over all gateways, with `delay` ms between two tokens: streams, so that the first word says that they run."""

        def begin(i):
            return Events(self.router, self.key, f"[[tokens={TOKENS} delay={delay}]]", model="race", max_tokens=TOKENS, port=self.router.ports[i % len(self.router.ports)])

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running = list(pool.map(begin, range(n)))
        assert all(e.status == 200 for e in running), [e.status for e in running]
        return running

    def all_paid(self, calls):
        """Every one of them is on the bill, and nothing else is: no credit is left and none is held."""
        self.paid += calls

        def settled():
            c = self.router.credits(self.token)
            return Decimal(c["balance_usd"]) == 0 and Decimal(c["held_usd"]) == 0

        wait_until("all calls are settled", 20, settled, every=0.05)
        spent = Decimal(self.router.credits(self.token)["spent_usd"])
        assert spent == CALL * self.paid, (spent, self.paid)
        assert self.calls() - self.before == self.paid

    def held(self, port=None):
        """The open holds; none are seen while authsvc cannot say."""
        a = call(port or self.router.port, "GET", "/api/admin/system/holds", headers={"authorization": f"Bearer {self.admin}"})
        assert a.status in (200, 503), a
        return a.json() if a.status == 200 else {"open": -1}


def only(burst, expected):
    assert dict(burst.statuses) == expected, (burst.statuses, burst.codes, burst.bodies)
    assert set(burst.codes) <= {"insufficient_quota"}, burst.codes


def kill_and_restart(router, name="authsvc"):
    router.processes.pop(name).kill()
    return router.start_service(name)
