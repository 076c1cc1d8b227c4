"""deploy/prometheus and deploy/grafana: rules that fire when they should, and not one query for something that the router does not measure."""
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest
import yaml

from redis_server import Redis
from router import MODE, ROOT, Process, Router, call, free_port, wait_until

DEPLOY = ROOT / "deploy"
TOKEN = "a-token-for-the-metrics"
WINDOW = "30s"
# what Prometheus itself adds or makes
OWN_METRICS = {"up", "ALERTS"}
OWN_LABELS = {"job", "instance", "alertstate", "alertname", "severity"}
LAUNCHER = pytest.mark.skipif(MODE != "launcher", reason="looks at files: once is enough")
PROCESSES = pytest.mark.skipif(MODE != "processes", reason="needs services of their own")


def program(name):
    """Of the PATH, or out of Debian's package where deploy/deps.sh has unpacked it."""
    found = shutil.which(name) or shutil.which(name, path=str(ROOT / "build/deps/prometheus/usr/bin"))
    if not found:
        pytest.skip(f"{name} could not be had: deploy/deps.sh test")
    return found


def rules():
    return [r for g in yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"] for r in g["rules"]]


def alerts():
    return [r for r in rules() if "alert" in r]


def dashboard():
    return json.loads((DEPLOY / "grafana/dashboards/openai-router.json").read_text())


def dashboard_queries():
    out = [t["expr"] for p in dashboard()["panels"] for t in p.get("targets", [])]
    return [re.sub(r"\$(gateway|provider|model)", ".*", q.replace("$__rate_interval", WINDOW)) for q in out]


# ---- files ----


@LAUNCHER
def test_rules_and_configuration_are_good(tmp_path):
    promtool = program("promtool")
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "p")
    config = tmp_path / "p" / "prometheus.yml"
    token = tmp_path / "metrics_token"
    token.write_text(TOKEN)
    config.write_text(config.read_text().replace("/run/router/metrics_token", str(token)))
    for words in (["check", "config", "prometheus.yml"], ["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run([promtool, *words], cwd=tmp_path / "p", capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


@LAUNCHER
def test_every_alert_is_shown_to_fire_and_to_be_silent():
    fires, silent = set(), set()
    for test in yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else silent).add(case["alertname"])
    names = {a["alert"] for a in alerts()}
    assert len(names) == len(alerts())
    assert fires == names and silent == names, (names - fires, names - silent, fires - names)


@LAUNCHER
def test_every_alert_says_what_to_do():
    manual = (ROOT / "docs/operations.md").read_text()
    anchors = {re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-") for line in manual.splitlines() if line.startswith("#")}
    for a in alerts():
        assert a["labels"]["severity"] in ("critical", "warning"), a
        assert a["annotations"]["summary"] and a["annotations"]["description"], a
        page, anchor = a["annotations"]["runbook"].split("#")
        assert page == "docs/operations.md" and anchor in anchors, a


@LAUNCHER
def test_the_dashboard_is_what_its_script_makes():
    done = subprocess.run(["python3", str(DEPLOY / "grafana/dashboard.py")], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == (DEPLOY / "grafana/dashboards/openai-router.json").read_text(), "deploy/grafana/dashboard.py >deploy/grafana/dashboards/openai-router.json"


@LAUNCHER
def test_the_dashboard_is_laid_out_and_provisioned():
    taken = set()
    made = dashboard()
    for p in made["panels"]:
        place = p["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, p["title"]
        taken |= cells
        assert p["type"] == "row" or p["targets"], p["title"]
    assert len({p["id"] for p in made["panels"]}) == len(made["panels"])
    variables = {v["name"] for v in made["templating"]["list"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(made["panels"])))
    assert used == variables, used ^ variables
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["type"] == "prometheus" and source["isDefault"]
    assert yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/openai-router.yml").read_text())["providers"][0]["options"]["path"]


@LAUNCHER
def test_the_profile_of_compose_disturbs_nobody():
    made = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert {n for n, s in made["services"].items() if "profiles" not in s} == {"gateway", "authsvc", "providersvc", "meterd"}
    for name in ("prometheus", "grafana"):
        s = made["services"][name]
        assert s["profiles"] == ["metrics"] and s["read_only"] and s["cap_drop"] == ["ALL"] and s["networks"] == ["public"]
        assert re.search(r":-[\w./-]+:v?\d+\.\d+\.\d+\}$", s["image"]), "pinned by version"
        assert s["user"].split(":")[0] not in ("0", "root")
        assert all(p.startswith("127.0.0.1:") for p in s["ports"])
        for mount in s["volumes"]:
            source, to, *how = mount.split(":")
            assert (source in made["volumes"] and not how) or (how == ["ro"] and (ROOT / source).is_dir()), mount
    mounts = dict(m.split(":")[1::-1] for m in made["services"]["grafana"]["volumes"])
    path = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/openai-router.yml").read_text())["providers"][0]["options"]["path"]
    assert mounts[path] == "./deploy/grafana/dashboards"
    token_file = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["authorization"]["credentials_file"]
    assert token_file in made["services"]["prometheus"]["entrypoint"][-1]


@LAUNCHER
def test_redis_of_compose_is_reached_by_authsvc_alone():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    redis = services["redis"]
    assert redis["profiles"] == ["redis"] and redis["read_only"] and redis["cap_drop"] == ["ALL"] and redis["networks"] == ["bus"]
    assert "ports" not in redis and "volumes" not in redis, "it is published to nobody and keeps nothing"
    assert redis["build"]["target"] == "redis" and "AS redis" in (ROOT / "Dockerfile").read_text()
    assert [n for n, s in services.items() if any("REDIS" in name for name in s.get("environment", {}))] == ["authsvc"]


# ---- names ----

WORDS = {"by", "without", "on", "and", "or", "unless", "group_left", "group_right", "offset", "bool", "ignoring"}


def names_of(expr):
    """(metrics, labels) that an expression names."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    labels = set()
    for inner in re.findall(r"\{([^}]*)\}", bare):
        labels |= {re.match(r"\s*(\w+)", part)[1] for part in inner.split(",") if part.strip()}
    for inner in re.findall(r"\b(?:by|without|on|group_left|group_right)\s*\(([^)]*)\)", bare):
        labels |= {part.strip() for part in inner.split(",") if part.strip()}
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|group_left|group_right)\s*\([^)]*\)|offset \w+", " ", bare)
    metrics = {m for m in re.findall(r"(?<![\w.])[a-zA-Z_][\w:]*(?!\w*\s*\()", bare) if m not in WORDS}
    return metrics, labels


def test_names_are_found():
    assert names_of('sum by (a, b) (rate(x_total{c="d}",e!~"f"}[5m])) / on (g) max(y offset 2m) > 1 and h:z:i') == ({"x_total", "y", "h:z:i"}, {"a", "b", "c", "e", "g"})


# ---- against a router ----


class Prometheus:
    """Debian's server, configured as deploy/prometheus says but for where, how often and with what token."""

    def __init__(self, router, folder):
        shutil.copytree(DEPLOY / "prometheus", folder / "prometheus")
        (folder / "metrics_token").write_text(TOKEN)
        config = yaml.safe_load((folder / "prometheus/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        job = config["scrape_configs"][0]
        job["authorization"]["credentials_file"] = str(folder / "metrics_token")
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{p}" for p in router.ports]}]
        (folder / "prometheus/prometheus.yml").write_text(yaml.safe_dump(config))
        self.port = free_port()
        argv = [program("prometheus"), f"--config.file={folder}/prometheus/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.process = Process("prometheus", argv, dict(os.environ), folder)

    def get(self, path, **query):
        a = call(self.port, "GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert a.status == 200, (query, a)
        return a.json()["data"]

    def query(self, expr):
        return self.get("query", query=expr)["result"]

    def ready(self):
        try:
            return len(self.query('router_build_info{service="meterd"}')) == 2 and bool(self.query("router:cost_usd:increase1h"))
        except OSError:
            return False


def busy(router):
    """Calls of every kind, so that what is counted by outcome, provider and model is there."""
    _, token = router.user()
    key = router.new_key(token)
    for prompt in ("[[tokens=3]]", "[[status=500]]", "[[status=400]]"):
        router.chat(key, prompt)
    router.call("POST", "/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}, key)
    assert router.call("POST", "/auth/login", {"email": "nobody@example.com", "password": "wrong-password"}).status == 401
    assert router.chat("sk-or-wrong").status == 401


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(router, prometheus): two gateways, two providersvcs, Redis, scraped every second while calls are made."""
    program("prometheus")
    folder = tmp_path_factory.mktemp("observe")
    with Redis() as redis, Router(mode="processes", gateways=2, providers=2, env={"METRICS_TOKEN": TOKEN, "REDIS_URL": redis.url}) as r:
        assert r.call("GET", "/metrics").status == 401
        p = Prometheus(r, folder)
        try:
            wait_until("the router is scraped", 20, lambda: busy(r) or p.ready(), every=0.5)
            yield r, p
        finally:
            p.process.stop()


@PROCESSES
def test_every_metric_and_label_that_is_asked_for_is_there(watched):
    router, prometheus = watched
    text = router.call("GET", "/metrics", token=TOKEN).body.decode()
    labels = {}
    for name, inner in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.M):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inner))
    recorded = {r["record"]: r["expr"] for r in rules() if "record" in r}
    for name, expr in recorded.items():
        labels[name] = set().union(*(labels[m] for m in names_of(expr)[0] if m in labels))
    for expr in [r["expr"] for r in rules()] + dashboard_queries():
        metrics, asked = names_of(expr)
        unknown = metrics - set(labels) - OWN_METRICS
        assert not unknown, (unknown, expr)
        missing = asked - OWN_LABELS - set().union(*(labels.get(m, set()) for m in metrics))
        assert not missing, (missing, expr)
    found = {s["name"] for g in prometheus.get("rules")["groups"] for s in g["rules"]}
    assert found == set(recorded) | {a["alert"] for a in alerts()}
    bad = [(r["name"], r["lastError"]) for g in prometheus.get("rules")["groups"] for r in g["rules"] if r["health"] != "ok"]
    assert not bad


@PROCESSES
def test_every_query_has_an_answer(watched):
    _, prometheus = watched
    for r in alerts():
        prometheus.query(r["expr"])
    empty = [q for q in [r["record"] for r in rules() if "record" in r] + dashboard_queries() if not prometheus.query(q)]
    assert not empty, empty


@PROCESSES
def test_several_gateways_count_a_service_once(watched):
    _, prometheus = watched
    calls = 'router_model_calls_total{model="gpt-4o-mini",outcome="ok"}'
    seen = {(s["metric"]["replica"], s["metric"]["instance"]) for s in prometheus.query(calls)}
    assert len({replica for replica, _ in seen}) == 2 and len(seen) == 4, seen
    once, twice = (float(prometheus.query(q)[0]["value"][1]) for q in (f"sum(max without (instance) ({calls}))", f"sum({calls})"))
    assert 0 < once < twice
    versions = prometheus.query(next(q for q in dashboard_queries() if "router_build_info" in q))
    assert {s["metric"]["service"]: int(s["value"][1]) for s in versions} == {"gateway": 2, "authsvc": 1, "providersvc": 2, "meterd": 1}


@PROCESSES
def test_a_service_that_ends_is_seen(watched):
    router, prometheus = watched
    expr = next(a["expr"] for a in alerts() if a["alert"] == "ServiceDown")
    assert prometheus.query(expr) == []
    router.processes.pop("authsvc").stop()
    wait_until("its alert begins", 15, lambda: [s["metric"]["peer"] for s in prometheus.query(expr)] == ["authsvc"], every=0.3)
    router.start_service("authsvc")
    wait_until("it is back", 15, lambda: prometheus.query(expr) == [], every=0.3)
