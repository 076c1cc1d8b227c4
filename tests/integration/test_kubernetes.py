"""deploy/kubernetes as far as it can be judged without a cluster: what belongs together fits, and fits compose.yaml, the Dockerfile and
the table of settings. No API server has seen it here."""
import importlib.util
import re

import pytest
import yaml

from router import MODE, ROOT

pytestmark = pytest.mark.skipif(MODE != "launcher", reason="looks at files: once is enough")
FOLDER = ROOT / "deploy/kubernetes"
WITH_REDIS = ROOT / "deploy/kubernetes-redis"
NAME, PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
SERVICES = {"gateway": "Deployment", "authsvc": "Deployment", "providersvc": "StatefulSet", "meterd": "Deployment"}
KINDS = {
    "Namespace": "v1", "ConfigMap": "v1", "Secret": "v1", "Service": "v1", "PersistentVolumeClaim": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1",
    "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
}
# members that a kind may have in `spec`: a word that is misspelt would be dropped or refused
SPEC = {
    "Service": {"clusterIP", "publishNotReadyAddresses", "selector", "ports"},
    "PersistentVolumeClaim": {"accessModes", "resources"},
    "Deployment": {"replicas", "strategy", "selector", "template"},
    "StatefulSet": {"serviceName", "replicas", "podManagementPolicy", "updateStrategy", "selector", "template", "volumeClaimTemplates"},
    "PodDisruptionBudget": {"minAvailable", "selector"},
    "NetworkPolicy": {"podSelector", "policyTypes", "ingress", "egress"},
}
POD = {"automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds", "securityContext", "topologySpreadConstraints", "containers", "volumes"}
CONTAINER = {
    "name", "image", "imagePullPolicy", "command", "ports", "envFrom", "env", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "resources",
    "securityContext", "volumeMounts",
}


def documents(name, folder=FOLDER):
    return [d for d in yaml.safe_load_all((folder / name).read_text()) if d]


@pytest.fixture(scope="module")
def with_redis(objects):
    """The same, of deploy/kubernetes-redis, before its patch of authsvc."""
    more = {(d["kind"], d["metadata"]["name"]): d for d in documents("redis.yaml", WITH_REDIS)}
    assert not set(more) & set(objects)
    return {**objects, **more}


def lint_rules():
    spec = importlib.util.spec_from_file_location("rules", ROOT / "tests/lint/rules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def objects():
    """{(kind, name): object} of all that kustomization.yaml names."""
    found = {}
    for name in documents("kustomization.yaml")[0]["resources"]:
        for d in documents(name):
            assert (d["kind"], d["metadata"]["name"]) not in found
            found[d["kind"], d["metadata"]["name"]] = d
    return found


@pytest.fixture(scope="module")
def secrets():
    return {d["metadata"]["name"]: d["stringData"] for d in documents("secrets.example.yaml")}


def of_kind(objects, kind):
    return {name: o for (k, name), o in objects.items() if k == kind}


def workload(objects, service):
    return objects[SERVICES[service], service]["spec"]


def container(objects, service):
    (only,) = workload(objects, service)["template"]["spec"]["containers"]
    return only


def environment(objects, service, secrets):
    """What the program gets: {name: value}; a secret's value is that of the example."""
    made, c = {}, container(objects, service)
    for source in c["envFrom"]:
        if "configMapRef" in source:
            made.update(objects["ConfigMap", source["configMapRef"]["name"]]["data"])
        else:
            assert source["secretRef"]["optional"] is True
            made.update(secrets[source["secretRef"]["name"]])
    for e in c["env"]:
        ref = e.get("valueFrom", {}).get("secretKeyRef")
        made[e["name"]] = secrets[ref["name"]][ref["key"]] if ref else e["value"]
        assert isinstance(made[e["name"]], str), e
    return made


def test_every_file_is_used_and_every_object_whole(objects):
    assert {p.name for p in FOLDER.glob("*.yaml")} == set(documents("kustomization.yaml")[0]["resources"]) | {"kustomization.yaml", "secrets.example.yaml"}
    for (kind, name), o in objects.items():
        assert o["apiVersion"] == KINDS[kind], (kind, name)
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) and "namespace" not in o["metadata"]
        assert o["metadata"]["labels"][PART] == "openai-router", (kind, name)
        assert set(o.get("spec", {})) <= SPEC.get(kind, set()), (kind, name)
    assert of_kind(objects, "Secret") == {}, "secrets are not applied with the rest"
    assert objects["Namespace", documents("kustomization.yaml")[0]["namespace"]]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_what_it_needs_and_no_more(objects, service):
    w, c = workload(objects, service), container(objects, service)
    pod = w["template"]["spec"]
    assert set(pod) <= POD and set(c) <= CONTAINER
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    uid = int(re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())[1])
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == uid
    assert c["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert set(c["resources"]["requests"]) == {"cpu", "memory"} and c["resources"]["limits"]["memory"]
    assert c["command"] == [service] and c["image"] == documents("kustomization.yaml")[0]["images"][0]["name"]
    labels = w["template"]["metadata"]["labels"]
    assert w["selector"]["matchLabels"] == {NAME: service} and labels == {NAME: service, PART: "openai-router"}


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_what_there_is(objects, service):
    c = container(objects, service)
    ports = {p["name"]: p["containerPort"] for p in c["ports"]}
    paths = []
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        how = c[probe].get("httpGet") or c[probe]["tcpSocket"]
        assert how["port"] in ports
        paths.append(how.get("path"))
    assert paths == (["/health/live", "/health/ready", "/health/live"] if service == "gateway" else [None] * 3)


def test_who_is_one_is_never_two(objects):
    for service in ("meterd", "authsvc"):
        assert workload(objects, service)["replicas"] == 1 and workload(objects, service)["strategy"] == {"type": "Recreate"}
    assert set(of_kind(objects, "PodDisruptionBudget")) == {"gateway", "providersvc"}
    for name, o in of_kind(objects, "PodDisruptionBudget").items():
        assert o["spec"]["selector"]["matchLabels"] == {NAME: name} and o["spec"]["minAvailable"] < workload(objects, name)["replicas"]


def test_settings_are_those_of_the_programs(objects, secrets):
    lint = lint_rules()
    table = (ROOT / "services/settings_table.h").read_text()
    read_by = {m.group(1): m.group(2) for m in lint.SETTING_RE.finditer(table)}
    shared = set(objects["ConfigMap", "openai-router"]["data"])
    for service in SERVICES:
        letter = lint.SET_OF[service]
        for name in environment(objects, service, secrets):
            assert name in read_by, (service, name)
            its_own = letter in read_by[name] or "SET_ALL" in read_by[name]
            assert its_own or name in shared or (service, name) == ("meterd", "ROUTER_URL"), (service, name)
    longest = {m.group(1): int(m.group(2)) for m in re.finditer(r"S\((\w+), +\w+, +SECRET, NULL, +(\d+),", table)}
    for name in ("JWT_SECRET", "MASTER_KEY", "METRICS_TOKEN"):
        assert len(secrets["openai-router"][name]) < longest[name], "the example must not start"


def test_the_bus_is_that_of_compose(objects, secrets):
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    services = of_kind(objects, "Service")
    for service in SERVICES:
        made = environment(objects, service, secrets)
        for name, value in made.items():
            if name.endswith("_URL") and name in compose[service]["environment"]:
                assert value == (compose[service]["environment"][name]), (service, name)
            if m := re.fullmatch(r"tcp://(\w+):(\d+)", value):
                ports = {p["port"]: p["targetPort"] for p in services[m[1]]["spec"]["ports"]}
                named = {p["name"]: p["containerPort"] for p in container(objects, m[1])["ports"]}
                assert named[ports[int(m[2])]] == int(m[2]), (service, name)
    for name, o in services.items():
        of = o["spec"]["selector"][NAME]
        assert of in SERVICES
        assert name == "gateway" or (o["spec"]["clusterIP"] == "None" and o["spec"]["publishNotReadyAddresses"]), "every address is an instance"
    assert int(environment(objects, "gateway", secrets)["PORT"]) == services["gateway"]["spec"]["ports"][0]["port"] == 3000
    assert workload(objects, "providersvc")["serviceName"] == "providersvc"


def test_what_is_written_is_on_a_volume(objects, secrets):
    image = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.*)$", (ROOT / "Dockerfile").read_text(), re.M)[1]))
    writes = {"meterd": image["DB_PATH"], "providersvc": image["SPOOL_DIR"], "gateway": environment(objects, "gateway", secrets)["UPLOAD_DIR"]}
    for service in SERVICES:
        pod = workload(objects, service)["template"]["spec"]
        claims = {c["metadata"]["name"]: True for c in workload(objects, service).get("volumeClaimTemplates", [])}
        for v in pod["volumes"]:
            claims[v["name"]] = "persistentVolumeClaim" in v
            assert not claims[v["name"]] or ("PersistentVolumeClaim", v["persistentVolumeClaim"]["claimName"]) in objects
        mounts = {m["mountPath"]: m["name"] for m in container(objects, service)["volumeMounts"]}
        assert set(mounts.values()) == set(claims)
        if service in writes:
            (at,) = [p for p in mounts if writes[service] == p or writes[service].startswith(p + "/")]
            assert claims[mounts[at]] == (service != "gateway"), "the bill outlives its pod"


def test_an_end_is_waited_for(objects, secrets):
    for service in SERVICES:
        c = container(objects, service)
        before = int(c.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])[1])
        grace = workload(objects, service)["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace > before + int(environment(objects, service, secrets)["DRAIN_MS"]) / 1000 + 5


def reaches(objects, source, target, port):
    """May a pod with these labels open that port of that one? None: a pod outside, which no policy holds back."""

    def picks(selector, labels):
        good = all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
        return good and all(e["operator"] == "In" and labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))

    def lets(mine, kind, peers, other):
        held = [p for p in policies if picks(p["podSelector"], mine) and kind in p["policyTypes"]]
        if not held:
            return True
        rules = [r for p in held for r in p.get(kind.lower(), [])]
        to = [r for r in rules if "ports" not in r or any(p["port"] == port and p["protocol"] == "TCP" for p in r["ports"])]
        return any(peers not in r or (other is not None and any(picks(p["podSelector"], other) for p in r[peers])) for r in to)

    policies = [o["spec"] for o in of_kind(objects, "NetworkPolicy").values()]
    return (target is None or lets(target, "Ingress", "from", source)) and (source is None or lets(source, "Egress", "to", target))


def test_only_our_services_reach_the_bus(objects):
    pods = {s: workload(objects, s)["template"]["metadata"]["labels"] for s in SERVICES}
    bus = {s: [p["containerPort"] for p in container(objects, s)["ports"]] for s in SERVICES}
    for target in ("authsvc", "providersvc", "meterd"):
        for port in bus[target]:
            assert all(reaches(objects, pods[s], pods[target], port) for s in SERVICES), (target, port)
            assert not reaches(objects, None, pods[target], port)
            assert not reaches(objects, {NAME: "somebody"}, pods[target], port)
    assert not reaches(objects, None, {NAME: "somebody"}, 7301) and not reaches(objects, {NAME: "somebody"}, None, 443)
    assert reaches(objects, None, pods["gateway"], 3000)
    assert reaches(objects, pods["meterd"], pods["gateway"], 3000), "routerctl"
    assert {s for s in SERVICES if reaches(objects, pods[s], None, 443)} == {"providersvc"}


# ---- with Redis ----


def test_the_overlay_is_whole(with_redis):
    (made,) = documents("kustomization.yaml", WITH_REDIS)
    (base,) = documents("kustomization.yaml")
    assert made["resources"] == ["../kubernetes", "redis.yaml"] and made["namespace"] == base["namespace"]
    assert {p.name for p in WITH_REDIS.iterdir()} == {"kustomization.yaml", "redis.yaml"} | {p["path"] for p in made["patches"]}
    assert base["images"][0] in made["images"] and {i["name"] for i in made["images"]} == {base["images"][0]["name"], "openai-router-redis"}
    for (kind, name), o in with_redis.items():
        assert o["apiVersion"] == KINDS[kind] and set(o.get("spec", {})) <= SPEC.get(kind, set()), (kind, name)
        assert o["metadata"]["labels"][PART] == "openai-router", (kind, name)


def test_redis_may_do_what_it_needs_and_no_more(with_redis):
    w = with_redis["Deployment", "redis"]["spec"]
    pod = w["template"]["spec"]
    (c,) = pod["containers"]
    assert set(pod) <= POD and set(c) <= CONTAINER and "command" not in c, "its arguments are the image's"
    image = (ROOT / "Dockerfile").read_text().split("AS redis")[1].split("FROM")[0]
    uid = int(re.search(r"^USER (\d+):", image, re.M)[1])
    assert pod["securityContext"]["runAsUser"] == uid != 0 and pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert c["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert '"--maxmemory-policy", "noeviction"' in image and '"--save", ""' in image and '"--appendonly", "no"' in image
    assert w["replicas"] == 1 and w["strategy"] == {"type": "Recreate"}, "of two each would give the same credit"
    assert w["selector"]["matchLabels"] == {NAME: "redis"} and w["template"]["metadata"]["labels"] == {NAME: "redis", PART: "openai-router"}


def test_authsvc_finds_it(with_redis):
    (patch,) = documents("authsvc.yaml", WITH_REDIS)
    assert (patch["apiVersion"], patch["kind"], patch["metadata"]) == ("apps/v1", "Deployment", {"name": "authsvc"})
    spec = patch["spec"]
    assert spec["replicas"] > with_redis["PodDisruptionBudget", "authsvc"]["spec"]["minAvailable"] == 1
    assert with_redis["PodDisruptionBudget", "authsvc"]["spec"]["selector"]["matchLabels"] == {NAME: "authsvc"}
    assert spec["strategy"]["type"] == "RollingUpdate"
    (c,) = spec["template"]["spec"]["containers"]
    assert c["name"] == container(with_redis, "authsvc")["name"]
    (e,) = c["env"]
    name, port = re.fullmatch(r"redis://(\w+):(\d+)", e["value"]).groups()
    service = with_redis["Service", name]["spec"]
    (listens,) = with_redis["Deployment", "redis"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert e["name"] == "REDIS_URL" and service["selector"] == {NAME: "redis"}
    assert service["ports"] == [{"name": "redis", "port": int(port), "targetPort": listens["name"]}] and listens["containerPort"] == int(port)


def test_only_authsvc_reaches_redis(with_redis):
    redis = with_redis["Deployment", "redis"]["spec"]["template"]["metadata"]["labels"]
    pods = {s: workload(with_redis, s)["template"]["metadata"]["labels"] for s in SERVICES}
    # providersvc may go anywhere, so it is Redis' own policy that refuses it
    assert [s for s in SERVICES if reaches(with_redis, pods[s], redis, 6379)] == ["authsvc"]
    assert not reaches(with_redis, None, redis, 6379) and not reaches(with_redis, {NAME: "somebody"}, redis, 6379)
    assert not any(reaches(with_redis, redis, pods[s], p["containerPort"]) for s in ("authsvc", "providersvc", "meterd") for p in container(with_redis, s)["ports"])
    assert not reaches(with_redis, redis, None, 443)
