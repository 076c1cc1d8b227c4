"""Starts a router and runs the Node tests of the folder given: run.py FOLDER sdk|fidelity TEST... (with node_modules in it).

sdk: in front of the fake upstream; fidelity: in front of one that answers from tests/fixtures.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

from fixtures_upstream import CASES_OF_ANTHROPIC, FIXTURES, FixtureUpstream  # noqa: E402
from router import Router, free_port  # noqa: E402

LIMIT_S = 300


def stats(router):
    return {"UPSTREAM_STATS": f"http://127.0.0.1:{router.upstream.port}/__stats", "DEAD_URL": f"http://127.0.0.1:{free_port()}/v1"}


def fixtures(router, upstream):
    upstream.price(router, router.admin())
    return {
        "FIXTURES": str(FIXTURES),
        "SEEN_URL": f"{upstream.url}/__seen",
        "ROOT_URL": f"http://127.0.0.1:{router.port}",
        "CLAUDE_ERRORS": json.dumps(CASES_OF_ANTHROPIC),
    }


def run(folder, kind, tests):
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(FixtureUpstream()) if kind == "fidelity" else None
        r = stack.enter_context(Router(upstream=False, env=upstream.env()) if upstream else Router(env={"UPSTREAM_HEALTH": "ignore"}))
        _, token = r.user(credit="50")
        _, poor = r.user(credit=None)
        env = {
            **os.environ,
            "BASE_URL": f"http://127.0.0.1:{r.port}/v1",
            "API_KEY": r.new_key(token),
            "RPM_KEY": r.new_key(token, rpm=1),
            "OTHER_KEY": r.new_key(token, models=["gpt-4.1"]),
            "POOR_KEY": r.new_key(poor),
            **(fixtures(r, upstream) if upstream else stats(r)),
        }
        argv = [os.environ.get("NODE_BIN", "node"), "--test", "--test-concurrency=1", *tests]
        return subprocess.run(argv, cwd=folder, env=env, timeout=LIMIT_S).returncode


sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
