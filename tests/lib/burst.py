"""Many requests at once over keep-alive connections, in one thread and cheap enough for tens of thousands.

Only the standard library. A burst counts the answers; it never sends anything twice by itself.
"""
import collections
import json
import selectors
import socket
import time


def request(key, model, prompt, **fields):
    """The bytes of one chat completion."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    def __init__(self, port):
        self.port = port
        self.sock = None
        self.connect()

    def connect(self):
        if self.sock:
            self.sock.close()
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.sock.setblocking(False)
        self.data = bytearray()
        self.sent = 0.0


class Burst:
    """run() sends until so many requests were answered or until `seconds` are over.

    statuses: answers by HTTP status, 0 = the connection ended without one. codes: error codes of the others than 200.
    slowest: seconds of the slowest answer. bodies: the first few answers that `keep` (a set of statuses) names.
    """

    def __init__(self, ports, connections, data, keep=()):
        self.data = data
        self.keep = set(keep)
        self.connections = [Connection(ports[i % len(ports)]) for i in range(connections)]
        self.statuses = collections.Counter()
        self.codes = collections.Counter()
        self.bodies = []
        self.slowest = 0.0

    def close(self):
        for c in self.connections:
            c.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def answers(self):
        return sum(self.statuses.values())

    def run(self, requests, seconds=120, stop=lambda: False):
        end = time.monotonic() + seconds
        left = requests
        open_calls = 0
        with selectors.DefaultSelector() as sel:
            for c in self.connections:
                sel.register(c.sock, selectors.EVENT_READ, c)
                if left > 0:
                    self.send(c)
                    left -= 1
                    open_calls += 1
            while open_calls:
                now = time.monotonic()
                if now > end:
                    raise TimeoutError(f"{open_calls} requests are not answered: {dict(self.statuses)}")
                if stop():
                    left = 0
                for ready, _ in sel.select(0.1):
                    c = ready.data
                    if not self.receive(c, sel):
                        continue
                    open_calls -= 1
                    if left > 0:
                        self.send(c)
                        left -= 1
                        open_calls += 1
        return self

    def send(self, c):
        c.sent = time.monotonic()
        c.sock.send(self.data)  # far smaller than a socket's buffer

    def receive(self, c, sel):
        """True: the answer is whole, or will never be."""
        try:
            got = c.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            got = b""
        if not got:
            self.count(c, 0, b"")
            sel.unregister(c.sock)
            c.connect()
            sel.register(c.sock, selectors.EVENT_READ, c)
            return True
        c.data += got
        head = c.data.find(b"\r\n\r\n")
        if head < 0:
            return False
        at = c.data.find(b"content-length: ", 0, head)
        length = int(c.data[at + 16 : c.data.find(b"\r\n", at)])
        if len(c.data) < head + 4 + length:
            return False
        self.count(c, int(c.data[9:12]), bytes(c.data[head + 4 : head + 4 + length]))
        c.data.clear()
        return True

    def count(self, c, status, body):
        self.statuses[status] += 1
        self.slowest = max(self.slowest, time.monotonic() - c.sent)
        if status not in (0, 200):
            at = body.find(b'"code":"')
            self.codes[body[at + 8 : body.find(b'"', at + 8)].decode() if at >= 0 else ""] += 1
        if status in self.keep and len(self.bodies) < 5:
            self.bodies.append((status, body))
