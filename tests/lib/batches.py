"""Files and batches as an upstream of OpenAI's kind keeps them: a part of FixtureUpstream, for tests that follow a batch from its file to its bill.

A batch is validating when it is made, in_progress when it is first looked at and then what its metadata asks for:
{"then": "completed"} (also when it asks for nothing; with usage), "failed", "expired" or "cancelled" (without), "in_progress" (until
finish()). {"at_once": "failed"} makes it so already. {"usage": "none"} leaves the usage of a completed one out; {"wait": "0.5"} makes it only so many seconds after it was asked for.
"""
import json
import re
import threading
import time

JSON = {"content-type": "application/json"}
USAGE = {
    "input_tokens": 1001,
    "input_tokens_details": {"cached_tokens": 333},
    "output_tokens": 77,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 1078,
}


def error(status, message):
    said = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return status, JSON, json.dumps({"error": said}).encode()


class Batches:
    def __init__(self):
        self.lock = threading.Lock()
        self.files = {}  # id -> bytes
        self.batches = {}  # id -> the object, as it is shown
        self.coming = []  # input files of creations that have been asked for
        self.asked = []  # bodies of creations, as they came

    def finish(self, batch_id, status="completed", completed=None, usage=USAGE):
        """From now on it is over."""
        with self.lock:
            self.end(self.batches[batch_id], status, completed, usage)

    @staticmethod
    def end(batch, status, completed, usage):
        counts = batch["request_counts"]
        counts["completed"] = counts["total"] if completed is None else completed
        batch["status"] = status
        batch[f"{status}_at"] = int(time.time())
        if usage:
            batch["usage"] = usage

    # ---- requests ----

    def answer(self, seen):
        """(status, headers, body); None = it is about something else."""
        if seen.dialect != "openai":
            return None
        if seen.method == "POST" and seen.path == "/files":
            return self.upload(seen)
        if seen.method == "POST" and seen.path == "/batches":
            return self.create(seen)
        found = re.fullmatch(r"/batches/(\w+)(/cancel)?", seen.path)
        return self.look(found.group(1), bool(found.group(2))) if found else None

    def upload(self, seen):
        name, _, data = seen.parts["file"][0]
        with self.lock:
            file_id = f"file-up{len(self.files) + 1}"
            self.files[file_id] = data
        made = {"id": file_id, "object": "file", "bytes": len(data), "created_at": int(time.time()), "filename": name, "purpose": seen.text("purpose")}
        return 200, JSON, json.dumps(made).encode()

    def create(self, seen):
        wish = seen.json.get("metadata") or {}
        self.coming.append(seen.json.get("input_file_id"))
        time.sleep(float(wish.get("wait", 0)))
        with self.lock:
            self.asked.append(seen.body)
            data = self.files.get(seen.json["input_file_id"])
            if data is None:
                return error(400, "there is no such file")
            batch = {
                "id": f"batch_up{len(self.batches) + 1}",
                "object": "batch",
                "endpoint": seen.json["endpoint"],
                "errors": None,
                "input_file_id": seen.json["input_file_id"],
                "completion_window": seen.json["completion_window"],
                "status": "validating",
                "created_at": int(time.time()),
                "request_counts": {"total": len(data.split(b"\n")) - data.endswith(b"\n"), "completed": 0, "failed": 0},
                "metadata": wish,
            }
            if "at_once" in wish:
                self.end(batch, wish["at_once"], 0, None)
            self.batches[batch["id"]] = batch
            return 200, JSON, json.dumps(batch).encode()

    def look(self, batch_id, cancel):
        with self.lock:
            batch = self.batches.get(batch_id)
            if batch is None:
                return error(404, "there is no such batch")
            if cancel:
                batch["status"] = "cancelling"
            else:
                self.step(batch)
            return 200, JSON, json.dumps(batch).encode()

    def step(self, batch):
        then = batch["metadata"].get("then", "completed")
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
        elif batch["status"] == "cancelling":
            self.end(batch, "cancelled", 2, None)
        elif batch["status"] == "in_progress" and then != "in_progress":
            completed = {"completed": None, "failed": 0}.get(then, 2)
            self.end(batch, then, completed, USAGE if then == "completed" and batch["metadata"].get("usage") != "none" else None)
