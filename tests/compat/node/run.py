"""Starts a router and runs the Node tests of the folder given: run.py FOLDER (with node_modules and sdk.test.mjs in it)."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

from router import Router, free_port  # noqa: E402

LIMIT_S = 300

with Router() as r:
    _, token = r.user(credit="50")
    _, poor = r.user(credit=None)
    env = {
        **os.environ,
        "BASE_URL": f"http://127.0.0.1:{r.port}/v1",
        "API_KEY": r.new_key(token),
        "RPM_KEY": r.new_key(token, rpm=1),
        "OTHER_KEY": r.new_key(token, models=["gpt-4.1"]),
        "POOR_KEY": r.new_key(poor),
        "UPSTREAM_STATS": f"http://127.0.0.1:{r.upstream.port}/__stats",
        "DEAD_URL": f"http://127.0.0.1:{free_port()}/v1",
    }
    argv = [os.environ.get("NODE_BIN", "node"), "--test", "--test-concurrency=1", "sdk.test.mjs"]
    code = subprocess.run(argv, cwd=sys.argv[1], env=env, timeout=LIMIT_S).returncode
sys.exit(code)
