#!/usr/bin/env python3
"""An OpenAI-compatible upstream that misbehaves to the byte. One process is many providers: the first part of the path
is the provider's name (http://127.0.0.1:PORT/NAME/v1), and what is done for it is told by POST /__do/NAME.

    odd_upstream.py [--port N] [--cert FILE]      FILE: certificate and key, PEM: speaks TLS

A thing to do is {"what": WORD, …}; WORDS below says what they are. For all of them: "keys": {"sk-x": 401} refuses those
keys; "times": N does it for the first N requests only, "share": 0.5 for that part of them, evenly; the others are answered.
GET /__seen gives what each provider was asked, by key.
"""
import argparse
import json
import select
import socket
import ssl
import threading
import time

HANG_S = 60
JSON = "application/json"


def error(message="told to", kind="server_error", code=None):
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


class Gone(Exception):
    """The other end has left, or it is ours to leave."""


class Call:
    def __init__(self, sock, name, body, do):
        self.sock, self.name, self.do, self.body = sock, name, do, body
        self.stream = b'"stream":true' in body.replace(b" ", b"")

    # ---- pieces ----

    def wait(self, seconds):
        """Sleeps, but not longer than the other end is there."""
        if select.select([self.sock], [], [], seconds)[0]:
            raise Gone

    def head(self, status=200, kind=JSON, length=None, lines=()):
        out = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}"]
        out += [f"Content-Length: {length}"] if length is not None else ["Transfer-Encoding: chunked"]
        self.sock.sendall("\r\n".join([*out, *lines, "", ""]).encode())

    def whole(self, status, body, kind=JSON, lines=()):
        self.head(status, kind, len(body), lines)
        self.sock.sendall(body)

    def chunk(self, text):
        self.sock.sendall(f"{len(text):x}\r\n{text}\r\n".encode())

    def event(self, delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.chunk("data: " + json.dumps({"id": self.name, "object": "chat.completion.chunk", "model": "m", "choices": [choice]}) + "\n\n")

    def begin(self):
        self.head(kind="text/event-stream")
        self.event({"role": "assistant", "content": ""})

    def finish(self):
        self.event({}, "stop")
        self.chunk('data: {"id":"%s","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24}}\n\n' % self.name)
        self.chunk("data: [DONE]\n\n")
        self.sock.sendall(b"0\r\n\r\n")

    def plain(self):
        message = {"role": "assistant", "content": f"from {self.name}"}
        usage = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps({"id": self.name, "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}).encode()

    # ---- WORDS ----

    def answer(self):
        """after "first" seconds; a stream: its role, "gap" seconds, two tokens, the end"""
        if self.do.get("first"):
            self.wait(self.do["first"])
        if not self.stream:
            self.whole(200, self.plain())
            return
        self.begin()
        if self.do.get("gap"):
            self.wait(self.do["gap"])
        for word in ("from ", self.name):
            self.event({"content": word})
        self.finish()

    def think(self):
        """thinks and calls a tool, until it has its result; refuses calls without what it thought, as DeepSeek does"""
        messages = json.loads(self.body)["messages"]
        for m in messages:
            if m.get("tool_calls") and m.get("reasoning_content") != "from a thought":
                self.whole(400, error("The reasoning_content in the thinking mode must be passed back to the API.", "invalid_request_error"))
                return
        if messages[-1]["role"] == "tool":
            self.answer()
            return
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        if self.stream:
            self.begin()
            for word in ("from ", "a thought"):
                self.event({"content": None, "reasoning_content": word})
            self.event({"tool_calls": [call]})
            self.finish()
            return
        answer = json.loads(self.plain())
        answer["choices"][0]["message"] = {"role": "assistant", "content": "", "reasoning_content": "from a thought", "tool_calls": [call]}
        self.whole(200, json.dumps(answer).encode())

    def status(self):
        """"status" with "body" of "type" and header "lines" """
        code = self.do.get("status", 500)
        body = self.do["body"].encode() if "body" in self.do else error()
        self.whole(code, body, self.do.get("type", JSON), self.do.get("lines", ()))

    def hang(self):
        """not a byte"""
        self.wait(HANG_S)
        raise Gone

    def stall(self):
        """silent in the middle"""
        if self.stream:
            self.begin()
            self.event({"content": "half"})
        else:
            body = self.plain()
            self.head(length=len(body))
            self.sock.sendall(body[: len(body) // 2])
        self.wait(HANG_S)
        raise Gone

    def cut(self):
        """closed in the middle"""
        if self.stream:
            self.begin()
            self.event({"content": "half"})
        else:
            body = self.plain()
            self.head(length=len(body))
            self.sock.sendall(body[: len(body) // 2])
        raise Gone

    def error_first(self):
        """an error as the first event; not streamed: status 200 with an error body"""
        if not self.stream:
            self.whole(200, error("no luck"))
            return
        self.head(kind="text/event-stream")
        self.chunk("data: " + error("no luck").decode() + "\n\n")
        self.sock.sendall(b"0\r\n\r\n")

    def badjson(self):
        """the answer's last 20 bytes are missing; a stream: its second event is no JSON"""
        if not self.stream:
            self.whole(200, self.plain()[:-20])
            return
        self.begin()
        self.chunk('data: {"id":"x","choices":[{"ind\n\n')
        self.finish()

    def wrong_type(self):
        """an HTML page"""
        self.whole(200, b"<html><body>Under maintenance</body></html>", "text/html")

    def slow_body(self):
        """in ten pieces, "gap" seconds apart"""
        if self.stream:
            self.begin()
            for piece in ("fr", "om", " ", *self.name):
                self.wait(self.do.get("gap", 0.1))
                self.event({"content": piece})
            self.finish()
            return
        body = self.plain()
        step = len(body) // 9
        self.head(length=len(body))
        for at in range(0, len(body), step):
            self.wait(self.do.get("gap", 0.1))
            self.sock.sendall(body[at : at + step])


class Upstream:
    def __init__(self, port, cert):
        self.lock = threading.Lock()
        self.doing, self.seen, self.counted = {}, {}, {}
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(cert)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)

    def take(self, name, key):
        """Counts a request; what is to be done with it."""
        with self.lock:
            seen = self.seen.setdefault(name, {})
            seen[key] = seen.get(key, 0) + 1
            do = self.doing.get(name, {"what": "answer"})
            self.counted[name] = n = self.counted.get(name, 0) + 1
        if key in do.get("keys", {}):
            return {"what": "status", "status": do["keys"][key]}
        if n > do.get("times", n) or ("share" in do and int(n * do["share"]) == int((n - 1) * do["share"])):
            return {"what": "answer"}
        return do

    def control(self, sock, path, body):
        with self.lock:
            if path.startswith("/__do/"):
                name = path[6:]
                self.doing[name] = json.loads(body)
                self.counted[name] = 0
            answer = json.dumps(self.seen).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def one(self, sock, held):
        """One request; held: bytes that came with the last one."""
        while b"\r\n\r\n" not in held:
            got = sock.recv(65536)
            if not got:
                raise Gone
            held += got
        head, _, body = held.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        length = int(fields.get("content-length", 0))
        while len(body) < length:
            got = sock.recv(65536)
            if not got:
                raise Gone
            body += got
        path = lines[0].split(" ")[1]
        if path.startswith("/__"):
            self.control(sock, path, body[:length])
        else:
            name = path.split("/")[1]
            do = self.take(name, fields.get("authorization", "").removeprefix("Bearer "))
            getattr(Call(sock, name, body, do), do["what"])()
        return body[length:]

    def serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            held = b""
            while True:
                held = self.one(sock, held)
        except (Gone, OSError):
            pass
        finally:
            sock.close()

    def run(self):
        print(f"listening {self.listener.getsockname()[1]}", flush=True)
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--cert")
    got = options.parse_args()
    threading.stack_size(256 * 1024)
    Upstream(got.port, got.cert).run()
