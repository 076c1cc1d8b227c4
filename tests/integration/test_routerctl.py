"""routerctl against a real router: what its commands say and send."""
import json

from router import Router


def test_health_needs_no_loopback_and_says_errors_in_one_line():
    with Router(upstream=False, env={"METRICS_TOKEN": "a-token-for-the-metrics"}) as r:
        assert r.call("GET", "/health/detailed").status == 401, "so it is refused to whoever comes without METRICS_TOKEN"
        code, out, err = r.ctl("health")
        assert code == 0 and out.startswith("status               ok\n"), (out, err)
        assert {s["service"] for s in json.loads(r.ctl("health", "--json")[1])["services"]} == {"gateway", "authsvc", "providersvc", "meterd"}
        assert r.ctl("health", "--field", "status") == (0, "ok\n", "")
        for words in (["health"], ["health", "--field", "status"], ["health", "--json"]):
            code, out, err = r.ctl(*words, ROUTER_TOKEN="nobody's")
            assert code == 1 and out == "" and err.startswith("routerctl: The access token is not valid") and "(HTTP 401" in err, (out, err)
