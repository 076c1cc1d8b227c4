"""Responses in the background as an upstream of OpenAI's kind keeps them: a part of FixtureUpstream (its member `batches`).

One is queued when it is made, in_progress when it is first looked at, and then what its metadata asks for: {"then": "completed"} (also when
it asks for nothing), "incomplete", "failed" or "cancelled", "in_progress" (until finish()). {"usage": "none"} leaves its usage out. {"wait": "1"} makes
it only so many seconds after it was asked for. A stream of one stops after the first half of its text until go is set, and upstream works
on when nobody reads it. What is not in the background is in_progress until its stream has ended, and is gone with its connection.
"""
import json
import re
import threading
import time

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
HALVES = ("one two three ", "four five six ")
USAGE = {
    "input_tokens": 1001,
    "input_tokens_details": {"cached_tokens": 333},
    "output_tokens": 77,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 1078,
}


def event(kind, **members):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


class Background:
    def __init__(self):
        self.lock = threading.Lock()
        self.responses = {}  # id -> the object, as it is shown
        self.coming = 0  # creations that have been asked for
        self.streamed = 0  # halves of a text that have gone out
        self.go = threading.Event()

    def finish(self, response_id, status="completed", usage=USAGE, text="".join(HALVES)):
        """From now on it is over."""
        with self.lock:
            self.end(self.responses[response_id], status, usage, text)

    @staticmethod
    def end(r, status, usage, text):
        content = [{"type": "output_text", "text": text, "annotations": []}]
        r["status"] = status
        r["usage"] = usage
        r["output"] = [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}] if text else []
        if status == "failed":
            r["error"] = {"code": "server_error", "message": "it failed"}
        if status == "incomplete":
            r["incomplete_details"] = {"reason": "max_output_tokens"}

    # ---- requests ----

    def answer(self, seen):
        """(status, headers, body); None = it is about something else."""
        if seen.dialect != "openai":
            return None
        if seen.method == "POST" and seen.path == "/responses":
            return self.create(seen)
        found = re.fullmatch(r"/responses/(\w+)(/cancel)?", seen.path)
        if not found:
            return None
        with self.lock:
            r = self.responses.get(found.group(1))
        if r is None:
            return 404, JSON, json.dumps({"error": {"message": "no such response", "type": "invalid_request_error", "param": None, "code": None}}).encode()
        if seen.method == "DELETE":
            with self.lock:
                del self.responses[r["id"]]
            return 200, JSON, json.dumps({"id": r["id"], "object": "response", "deleted": True}).encode()
        if seen.method == "GET" and "stream=true" in seen.query:
            return 200, EVENTS, self.events(r, int((re.search(r"starting_after=(\d+)", seen.query) or [0, -1])[1]))
        return 200, JSON, self.shown(r, bool(found.group(2)))

    def create(self, seen):
        wish = seen.json.get("metadata") or {}
        self.coming += 1
        time.sleep(float(wish.get("wait", 0)))
        with self.lock:
            r = {
                "id": f"resp_bg{len(self.responses) + 1}x{id(self)}",
                "object": "response",
                "created_at": int(time.time()),
                "status": "in_progress" if seen.json.get("stream") else "queued",
                "background": bool(seen.json.get("background")),
                "error": None,
                "incomplete_details": None,
                "model": seen.json["model"],
                "output": [],
                "usage": None,
                "metadata": wish,
            }
            self.responses[r["id"]] = r
            if seen.json.get("stream"):
                return 200, EVENTS, self.events(r)
            return 200, JSON, json.dumps(r).encode()

    def shown(self, r, cancel):
        with self.lock:
            wish, over = r["metadata"], r["status"] not in ("queued", "in_progress")
            usage = None if wish.get("usage") == "none" else USAGE
            if cancel and not over:
                self.end(r, "cancelled", usage, "")
            elif r["status"] == "queued":
                r["status"] = "in_progress"
            elif not over and wish.get("then") != "in_progress":
                then = wish.get("then", "completed")
                self.end(r, then, usage, "" if then == "failed" else "".join(HALVES))
            return json.dumps(r).encode()

    def events(self, r, after=-1):
        yield from (e for i, e in enumerate(self.every(r)) if i > after)

    def every(self, r):
        yield event("response.created", response={**r, "status": "in_progress", "usage": None, "output": []})
        for half in HALVES:
            yield event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=half)
            self.streamed += 1
            self.go.wait(20)
        if r["status"] == "in_progress":
            self.finish(r["id"], usage=None if r["metadata"].get("usage") == "none" else USAGE)
        yield event(f"response.{r['status']}", response=r)
