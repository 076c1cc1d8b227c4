"""The clients: threads that call through two gateways which come and go, and write down what they saw.

Every call carries a marker in `user`: the upstream's journal shows it, so a call can be told even when its client never
saw a request id.
"""
import dataclasses
import http.client
import json
import random
import socket
import threading
import time

TIMEOUT_S = 15
PAUSE_S = 0.05  # after a refusal
LEFT, LOST = "left", "lost"  # outcomes beside whole and refused
IDEMPOTENT_TRIES = 25


@dataclasses.dataclass
class Seen:
    """One call as its client saw it."""

    marker: str
    kind: str
    payer: str  # name of the user
    begun: float  # Unix ms
    ended: float = 0.0
    request_id: str = ""
    http: int = 0  # status; 0 = none came
    outcome: str = ""  # whole, refused (an error of ours or of upstream's, whole), left (we cut), lost (cut off)
    chunks: int = 0  # of content that came
    code: str = ""  # of an error
    key: str = ""  # Idempotency-Key
    replayed: bool = False
    original: str = ""  # x-router-original-request-id


# kind, weight, stream, prompt, how it leaves. %p: prompt tokens, %t: tokens. An estimate of tokens from text of up to 100 of
# the upstream's words never exceeds their number: "one chunk more at most" can be checked.
KINDS = (
    ("plain", 30, False, "[[prompt=%p tokens=%t]]", None),
    ("plain-slow", 6, False, "[[prompt=%p tokens=%t first=400]]", None),
    ("short", 25, True, "[[prompt=%p tokens=%t]]", None),
    ("long", 18, True, "[[prompt=%p tokens=90 delay=%d]]", None),
    ("cut-by-client", 8, True, "[[prompt=%p tokens=90 delay=15]]", "stream"),
    ("left-before-answer", 3, False, "[[prompt=%p tokens=%t first=600]]", "plain"),
    ("error-400", 2, False, "[[status=400]]", None),
    ("error-500", 2, False, "[[status=500]]", None),
    ("cut-by-upstream", 3, True, "[[prompt=%p tokens=40 cut=%c delay=5]]", None),
    ("error-event", 3, True, "[[prompt=%p tokens=40 error-event=%c delay=5]]", None),
)


def fill(rng, text):
    values = {
        "%p": rng.randint(5, 4000),
        "%t": rng.randint(1, 60),
        "%d": rng.randint(11, 33),
        "%c": rng.randint(3, 20),
    }
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


class Client(threading.Thread):
    def __init__(self, number, seed, ports, payers, stop, again):
        super().__init__(daemon=True)
        self.number = number
        self.rng = random.Random(f"{seed}/{number}")
        self.ports = ports
        self.payers = payers  # [(name, api key, weight)]
        self.stop_event = stop
        self.again = again  # Idempotency-Key works here
        self.seen = []

    def run(self):
        n = 0
        while not self.stop_event.is_set():
            n += 1
            marker = f"m{self.number}-{n}"
            if self.again and self.rng.random() < 0.12:
                self.call_with_key(marker)
            elif self.one(marker).outcome in ("refused", LOST):
                time.sleep(PAUSE_S)

    # ---- one call ----

    def one(self, marker):
        kind, _, stream, prompt, leaves = self.rng.choices(KINDS, [k[1] for k in KINDS])[0]
        payer, key, _ = self.rng.choices(self.payers, [p[2] for p in self.payers])[0]
        body = {"model": "gpt-4o-mini", "user": marker, "stream": stream}
        text = fill(self.rng, prompt)
        if payer == "poor":  # what its credit bears is counted on the text: the upstream must not say another number
            text = " ".join(w for w in text.split(" ") if "prompt=" not in w)
            text = text if text.startswith("[[") else "[[" + text
        else:
            body["max_tokens"] = 200
        body["messages"] = [{"role": "user", "content": text}]
        if stream and self.rng.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
        seen = Seen(marker, kind, payer, time.time() * 1000)
        self.perform(seen, key, body, leaves)
        return seen

    def perform(self, seen, key, body, leaves, headers=None):
        self.seen.append(seen)
        try:
            self.exchange(seen, key, body, leaves, headers or {})
        except (OSError, http.client.HTTPException, ValueError):
            seen.outcome = LOST
        seen.ended = time.time() * 1000

    def exchange(self, seen, key, body, leaves, headers):
        port = self.rng.choice(self.ports)
        timeout = 0.2 if leaves == "plain" else TIMEOUT_S
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            head = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
            conn.request("POST", "/v1/chat/completions", json.dumps(body).encode(), head)
            response = conn.getresponse()
            seen.http = response.status
            seen.request_id = response.getheader("x-request-id") or ""
            seen.replayed = response.getheader("x-router-replayed") == "true"
            seen.original = response.getheader("x-router-original-request-id") or ""
            if body["stream"] and response.status == 200:
                self.read_stream(seen, response, self.rng.randint(1, 60) if leaves else 0)
            else:
                self.read_plain(seen, response)
        except socket.timeout:
            seen.outcome = LEFT if leaves == "plain" else LOST
        finally:
            conn.close()

    @staticmethod
    def read_plain(seen, response):
        answer = json.loads(response.read())
        seen.outcome = "whole" if response.status == 200 else "refused"
        if response.status == 200:
            seen.chunks = len(answer["choices"][0]["message"]["content"].split())
        else:
            seen.code = str(answer["error"].get("code") or answer["error"].get("type"))

    @staticmethod
    def read_stream(seen, response, leave_after):
        seen.outcome = LOST
        while True:
            line = response.readline()
            if not line:
                return
            if line == b"data: [DONE]\n":
                seen.outcome = "whole"
                return
            if line.startswith(b'data: {"error"'):
                seen.outcome = "refused"
                seen.code = "stream"
                return
            if b'"content":"' in line and b'"content":""' not in line:
                seen.chunks += 1
                if seen.chunks == leave_after:
                    seen.outcome = LEFT
                    return

    # ---- with an Idempotency-Key ----

    def call_with_key(self, marker):
        """As an SDK does it: the same call again, with the same key, until there is an answer."""
        payer, key, _ = self.payers[0]
        stream = self.rng.random() < 0.5
        text = fill(self.rng, "[[prompt=%p tokens=40 delay=%d]]" if stream else "[[prompt=%p tokens=%t first=200]]")
        body = {"model": "gpt-4o-mini", "user": marker, "stream": stream, "max_tokens": 200,
                "messages": [{"role": "user", "content": text}]}
        for _ in range(IDEMPOTENT_TRIES):
            seen = Seen(marker, "again-stream" if stream else "again-plain", payer, time.time() * 1000, key=marker)
            self.perform(seen, key, body, None, {"idempotency-key": f"key-{marker}"})
            if seen.http == 409 or self.stop_event.is_set() or (seen.outcome == "whole" and self.rng.random() < 0.5):
                return  # else once more, as one who did not see the answer would
            time.sleep(2 * PAUSE_S)


def keys_are_kept(port, key):
    """Does an Idempotency-Key do something here?"""
    body = {"model": "gpt-4o-mini", "user": "first", "messages": [{"role": "user", "content": "[[tokens=2]]"}]}
    replayed = None
    for _ in range(2):
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        conn.request("POST", "/v1/chat/completions", json.dumps(body).encode(),
                     {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": "is-it-kept"})
        response = conn.getresponse()
        response.read()
        replayed = response.getheader("x-router-replayed")
        conn.close()
    return replayed == "true"
