"""The three-way comparison: what the clients saw, what the upstream wrote down, what the ledger holds, call by call.

Nothing here talks to anybody: it is given the three books and gives findings. So it can be shown to find what is wrong
(falsifications()): each run ends with that.
"""
import collections
import copy
import dataclasses
import math
from fractions import Fraction

MILLION = 1_000_000
INPUT, CACHED, OUTPUT = Fraction("0.15") / MILLION, Fraction("0.075") / MILLION, Fraction("0.60") / MILLION  # gpt-4o-mini
NANO = 10**9
DEADLINE_SLACK_MS = 500  # providersvc's deadline is what is left of the gateway's
KILL_SLACK_MS = 150  # a kill and what it cut are noticed by different clocks
JOURNAL = "seq request_id user model stream status outcome prompt cached completion reasoning chunks took_ms end_ms write".split()
FINAL = ("ok", "cancelled", "truncated", "error", "void", "expired")


@dataclasses.dataclass
class Finding:
    kind: str
    request_id: str
    text: str


@dataclasses.dataclass
class Books:
    seen: list  # of load.Seen
    journal: list  # dicts, numbers as int
    rows: list  # usage rows as dicts; hold_nano and overage_nano added
    provider_kills: list  # Unix ms
    granted: dict  # user name -> nano
    credits: dict  # user name -> {"balance": nano, "spent": nano, "held": nano}
    users: dict  # user id -> name
    deadline_ms: int  # CALL_TIMEOUT_MS

    def copy(self):
        return copy.deepcopy(self)


def read_journal(path):
    out = []
    for line in path.read_text().splitlines():
        row = dict(zip(JOURNAL, line.split("\t")))
        for name in JOURNAL:
            if name not in ("request_id", "user", "model", "outcome"):
                row[name] = int(row[name])
        out.append(row)
    return out


def nano(usd):
    value = Fraction(usd) * NANO
    assert value.denominator == 1, usd
    return int(value)


def price(row):
    exact = (row["prompt_tokens"] - row["cached_tokens"]) * INPUT + row["cached_tokens"] * CACHED + row["completion_tokens"] * OUTPUT
    return math.ceil(exact * NANO)


class Call:
    """All that is known of one request id."""

    def __init__(self, request_id):
        self.request_id = request_id
        self.seen, self.journal, self.rows = [], [], []

    @property
    def produced(self):
        """The upstream's rows that hold tokens."""
        return [j for j in self.journal if j["status"] == 200 and (j["outcome"] == "ok" or j["chunks"] > 0)]

    @property
    def delivered(self):
        return max((s.chunks for s in self.seen), default=0)

    @property
    def whole(self):
        return any(s.outcome == "whole" and not s.replayed for s in self.seen)

    def killed_in(self, kills):
        """From its first byte upstream until its client had its end: what upstream sent may lie unread for a while."""
        begun = min(j["end_ms"] - j["took_ms"] for j in self.journal) - KILL_SLACK_MS
        ended = max([j["end_ms"] for j in self.journal] + [s.ended for s in self.seen]) + KILL_SLACK_MS
        return any(begun <= k <= ended for k in kills)


def collect(books):
    calls = {}

    def of(request_id):
        return calls.setdefault(request_id, Call(request_id))

    by_marker = {}
    for j in books.journal:
        of(j["request_id"]).journal.append(j)
        by_marker.setdefault(j["user"], []).append(j["request_id"])
    for r in books.rows:
        of(r["request_id"]).rows.append(r)
    for s in books.seen:
        if s.request_id:
            of(s.request_id).seen.append(s)
        elif not s.key:  # it never saw an id; its marker may have reached the upstream
            for request_id in by_marker.get(s.marker, []):
                of(request_id).seen.append(s)
    return calls


class Comparison:
    def __init__(self, books):
        self.books = books
        self.calls = collect(books)
        self.findings = []
        self.statuses = collections.Counter(r["status"] for r in books.rows)
        self.counts = dict.fromkeys(
            "calls whole upstream rows interrupted interrupted_unbilled interrupted_unbilled_first_second unasked overdue keys keys_run_again replays".split(), 0
        )

    def find(self, kind, call, text):
        self.findings.append(Finding(kind, call.request_id if call else "", text))

    # ---- one call ----

    def look(self, call):
        n = self.counts
        n["rows"] += len(call.rows)
        n["upstream"] += bool(call.journal)
        n["whole"] += call.whole
        if len(call.rows) > 1:
            self.find("doubled", call, f"{len(call.rows)} usage rows")
        if len(call.produced) > 1:
            self.find("run-twice", call, "the upstream produced tokens for it more than once")
        if not call.rows:
            if call.journal:
                self.find("unbilled", call, "the upstream knows it, the ledger does not")
            if call.whole:
                self.find("unbilled", call, "the client has a whole answer, the ledger nothing")
            n["unasked"] += not call.journal
            return
        row = call.rows[0]
        self.look_at_money(call, row)
        if call.produced:
            self.look_at_tokens(call, row, call.produced[0])
        elif row["prompt_tokens"] or row["completion_tokens"] or nano(row["cost_usd"]):
            self.find("billed-for-nothing", call, "tokens on the bill that the upstream never produced")

    def look_at_money(self, call, row):
        want = 0 if row["status"] == "void" else price(row)
        have = nano(row["cost_usd"]) + row["overage_nano"]
        if have != want:
            self.find("money", call, f"{have} nano-USD, the exact price of its tokens is {want}")
        if row["status"] not in FINAL:
            self.find("open", call, f"its row says {row['status']!r}")

    def look_at_tokens(self, call, row, truth):
        exact = (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"])
        told = (truth["prompt"], truth["cached"], truth["completion"])
        if call.whole and row["status"] != "ok":
            self.find("whole-not-ok", call, f"the client has the whole answer, the row says {row['status']!r}")
        if row["status"] == "ok" or call.whole:
            if truth["outcome"] != "ok" or exact != told or row["estimated"]:
                self.find("tokens", call, f"prompt, cached, completion {exact}, the upstream says {told}")
            return
        if row["completion_tokens"] > truth["completion"] + 1 and not (truth["outcome"] == "ok" and exact == told):
            self.find("too-much", call, f"{row['completion_tokens']} tokens, the upstream sent {truth['completion']}")
        if call.killed_in(self.books.provider_kills):
            self.look_at_interrupted(call, row, truth)
        elif not call.delivered and self.overdue(row):
            self.counts["overdue"] += 1  # its providersvc stood still until its time was over: an answer that nobody gets costs nothing
        elif row["status"] == "error":
            self.find("lost-without-a-kill", call, "the upstream produced tokens, no providersvc was killed, the row says 'error'")
        elif call.delivered and row["completion_tokens"] == 0:
            self.find("tokens", call, f"{call.delivered} chunks were delivered, none is on the bill")

    def overdue(self, row):
        late = row["latency_ms"] >= self.books.deadline_ms - DEADLINE_SLACK_MS
        return late and (row["status"], row["http_status"]) == ("error", 504)

    def look_at_interrupted(self, call, row, truth):
        """Its providersvc may have been killed under it. What was delivered is on the bill, never nothing."""
        if row["status"] == "cancelled" and row["completion_tokens"]:
            return
        self.counts["interrupted"] += 1
        if call.delivered == 0 or row["completion_tokens"] > 0:
            return
        self.counts["interrupted_unbilled"] += 1
        young = truth["took_ms"] < 1000
        self.counts["interrupted_unbilled_first_second"] += young
        self.find(
            "interrupted-unbilled",
            call,
            f"providersvc was killed {truth['took_ms']} ms into the call; {call.delivered} chunks were delivered, none is on the bill",
        )

    # ---- sums ----

    def look_at_sums(self):
        cost = dict.fromkeys(self.books.granted, 0)
        for r in self.books.rows:
            name = self.books.users.get(r.get("user_id"))
            if name in cost:
                cost[name] += nano(r["cost_usd"])
            if r["overage_nano"]:
                self.findings.append(Finding("overage", r["request_id"], f"{r['overage_nano']} nano-USD above the credit ({name})"))
        for name, granted in self.books.granted.items():
            c = self.books.credits[name]
            if granted - cost[name] != c["balance"] or c["spent"] != cost[name]:
                text = f"{name}: granted {granted}, rows cost {cost[name]}; the ledger says balance {c['balance']}, spent {c['spent']}"
                self.findings.append(Finding("sums", "", text))

    def look_at_keys(self):
        """One answer and one bill for an Idempotency-Key, however often it was tried."""
        tries = {}
        for s in self.books.seen:
            if s.key:
                tries.setdefault(s.key, []).append(s)
        produced = collections.Counter(j["user"] for c in self.calls.values() for j in c.produced)
        for key, seen in tries.items():
            self.counts["keys"] += 1
            ids = {s.request_id for s in seen if s.request_id}
            billed = sorted(i for i in ids if i in self.calls and any(nano(r["cost_usd"]) for r in self.calls[i].rows))
            if len(billed) > 1:
                self.findings.append(Finding("key-billed-twice", billed[0], f"{key}: {billed}"))
            self.counts["keys_run_again"] += produced[key] > 1  # right only after an answer that nobody had, and nobody paid
            for s in seen:
                if s.replayed and s.outcome == "whole":
                    self.look_at_replay(s)

    def look_at_replay(self, s):
        self.counts["replays"] += 1
        original = self.calls.get(s.original)
        if not original or not original.rows or original.rows[0]["completion_tokens"] != s.chunks:
            self.findings.append(Finding("replay", s.original, f"{s.key}: {s.chunks} tokens were replayed, the bill says otherwise"))

    def run(self):
        self.counts["calls"] = len(self.books.seen)
        for call in self.calls.values():
            self.look(call)
        self.look_at_sums()
        self.look_at_keys()
        return self


def compare(books):
    return Comparison(books).run()


def describe(comparison, finding):
    """Everything that the three books know of it."""
    call = comparison.calls.get(finding.request_id)
    out = [f"{finding.kind} {finding.request_id}: {finding.text}"]
    if not call:
        return out
    for name, entries in (("client", map(dataclasses.asdict, call.seen)), ("upstream", call.journal), ("ledger", call.rows)):
        for entry in entries:
            told = {k: v for k, v in entry.items() if v not in (0, "", "0", None, []) and k != "request_id"}
            out.append(f"  {name:8} {told}")
    if call.journal:
        lo = min(j["end_ms"] - j["took_ms"] for j in call.journal) - 500
        hi = max(j["end_ms"] for j in call.journal) + 500
        out.append(f"  kills of providersvc near it: {[round(k) for k in comparison.books.provider_kills if lo <= k <= hi]}")
    return out


# ---- can it fail? ----


def falsifications(books):
    """(name, request id, falsified books): each must be found."""
    calls = collect(books)
    good = [c for c in calls.values() if c.whole and len(c.rows) == 1 and c.rows[0]["status"] == "ok"]
    if not good:
        return
    victim = good[len(good) // 2].request_id

    def rows_of(b):
        return [r for r in b.rows if r["request_id"] == victim]

    def drop(b):
        b.rows = [r for r in b.rows if r["request_id"] != victim]

    def double(b):
        b.rows += copy.deepcopy(rows_of(b))

    def one_nano(b):
        for r in rows_of(b):
            r["overage_nano"] += 1

    def one_token(b):
        for r in rows_of(b):
            r["completion_tokens"] += 1

    def other_end(b):
        for r in rows_of(b):
            r["status"] = "cancelled"

    def no_upstream(b):
        b.journal = [j for j in b.journal if j["request_id"] != victim]

    def balance(b):
        next(iter(b.credits.values()))["balance"] += 1

    for name, falsify in (
        ("a row is missing", drop),
        ("a row is there twice", double),
        ("a row costs a nano-USD more", one_nano),
        ("a row has a token more", one_token),
        ("a row has another end", other_end),
        ("the upstream never saw it", no_upstream),
        ("a balance is a nano-USD off", balance),
    ):
        false = books.copy()
        falsify(false)
        yield name, victim if falsify is not balance else "", false
