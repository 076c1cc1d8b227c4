#!/usr/bin/env python3
"""Prints the dashboard as Grafana imports it: deploy/grafana/dashboard.py >deploy/grafana/dashboards/openai-router.json

A row is a title and its panels; a panel is (title, kind, unit, [(query, legend), ...], what it shows). tests/integration/test_observe.py
holds the file that is committed against this script, and every query against a running router.
"""
import json

COLUMNS = 24
HEIGHT = {"stat": 4, "timeseries": 8}
ROUTES = 'service="gateway",replica=~"$gateway"'
PROVIDERS = 'provider=~"$provider"'
MODELS = 'model=~"$model"'


def rate(metric, labels="", by=""):
    """Per second; what several gateways tell of one service is counted once."""
    return f"sum by ({by}) (max without (instance) (rate({metric}{{{labels}}}[$__rate_interval])))" if by else f"sum(max without (instance) (rate({metric}{{{labels}}}[$__rate_interval])))"


def quantile(q, metric, labels="", by=""):
    return f"histogram_quantile({q}, {rate(metric + '_bucket', labels, 'le' + (', ' + by if by else ''))})"


def now(metric, labels="", by="service, replica"):
    return f"max by ({by}) ({metric}{{{labels}}})"


def total(metric, labels=""):
    return f"sum(max without (instance) ({metric}{{{labels}}}))"


CALLS = f'{ROUTES},route=~"/v1/.*"'

ROWS = [
    ("At a glance", [
        ("Gateways", "stat", "short", [('sum(up{job="openai-router"})', "")], "Gateways that answer Prometheus."),
        ("Calls", "stat", "reqps", [(rate("router_requests_total", CALLS), "")], "Requests under /v1."),
        ("Failed", "stat", "percentunit", [("router:calls_failed:ratio_rate5m", "")], "5xx of the calls under /v1, five minutes."),
        ("First byte, p99", "stat", "s", [("router:call_first_byte_seconds:p99_rate5m", "")], "From the request to the first byte of its answer."),
        ("Streams", "stat", "short", [(total("router_streams", ROUTES), "")], "Streamed calls that run."),
        ("Billed in the last hour", "stat", "currencyUSD", [("router:cost_usd:increase1h", "")], "To users."),
        ("Oldest call without a bill", "stat", "s", [("max(router_outbox_oldest_age_seconds)", "")], "Age of the oldest usage event that meterd has not committed."),
        ("Alerts", "stat", "short", [('count(ALERTS{alertstate="firing"}) or vector(0)', "")], "That fire now."),
    ]),
    ("Traffic", [
        ("Answers by status", "timeseries", "reqps", [(rate("router_requests_total", ROUTES, "status"), "{{status}}")], "All routes."),
        ("Calls by route", "timeseries", "reqps", [(rate("router_requests_total", CALLS, "route") + " > 0", "{{route}}")], ""),
        ("Calls by model", "timeseries", "reqps", [(rate("router_model_calls_total", MODELS, "model"), "{{model}}")], "When they end."),
        ("Tokens by model", "timeseries", "short", [(rate("router_model_tokens_total", MODELS, "model, kind"), "{{model}} {{kind}}")], "Per second, of calls that have ended."),
        ("Attempts by provider", "timeseries", "reqps", [(rate("router_upstream_attempts_total", PROVIDERS, "provider"), "{{provider}}")], ""),
        ("Connections and requests", "timeseries", "short", [(now("router_connections", ROUTES, "replica"), "connections {{replica}}"), (now("router_requests_in_flight", ROUTES, "replica"), "in flight {{replica}}")], ""),
    ]),
    ("Latency", [
        ("First byte, as clients see it", "timeseries", "s", [(quantile(q, "router_call_first_byte_seconds", ROUTES), f"p{name}") for q, name in ((0.5, 50), (0.9, 90), (0.99, 99))], ""),
        ("Whole requests by route, p99", "timeseries", "s", [(quantile(0.99, "router_request_seconds", CALLS, "route"), "{{route}}")], "Streams to their last byte."),
        ("First byte by model, p99", "timeseries", "s", [(quantile(0.99, "router_model_ttft_seconds", MODELS, "model"), "{{model}}")], "From the call to its first byte, all attempts together."),
        ("Whole calls by model, p50", "timeseries", "s", [(quantile(0.5, "router_model_latency_seconds", MODELS, "model"), "{{model}}")], ""),
        ("First byte by provider, p99", "timeseries", "s", [(quantile(0.99, "router_upstream_ttft_seconds", PROVIDERS, "provider"), "{{provider}}")], ""),
        ("Admission, p99", "timeseries", "s", [(quantile(0.99, "router_admit_seconds"), "p99")], "authsvc's decision: key, limits, credit."),
    ]),
    ("Errors and retries", [
        ("Failed calls", "timeseries", "percentunit", [("router:calls_failed:ratio_rate5m", "5 minutes"), ("router:calls_failed:ratio_rate1h", "1 hour"), ("router:calls_failed:ratio_rate6h", "6 hours")], "5xx under /v1. One of 1000 is allowed."),
        ("Failed calls by model", "timeseries", "reqps", [(rate("router_model_calls_total", MODELS + ',outcome!="ok"', "model, outcome"), "{{model}} {{outcome}}")], ""),
        ("Failed attempts by provider", "timeseries", "reqps", [(rate("router_upstream_attempts_total", PROVIDERS + ',outcome!="ok"', "provider, outcome"), "{{provider}} {{outcome}}")], ""),
        ("Retries", "timeseries", "reqps", [(rate("router_upstream_retries_total", PROVIDERS, "provider"), "{{provider}}")], "Attempts beyond a call's first."),
        ("Providers that are left alone", "timeseries", "short", [(now("router_upstream_open", PROVIDERS, "provider"), "{{provider}}")], "1 while no calls go there because it fails."),
        ("Admissions refused", "timeseries", "reqps", [(rate("router_admissions_total", 'outcome!="OK"', "outcome"), "{{outcome}}")], ""),
        ("Sign-ins", "timeseries", "reqps", [(rate("router_logins_total", "", "outcome"), "{{outcome}}")], ""),
        ("Clients that left, slow streams, malformed requests", "timeseries", "reqps", [(rate("router_client_gone_total", ROUTES), "left"), (rate("router_slow_streams_total", ROUTES), "slow"), (rate("router_malformed_requests_total", ROUTES), "malformed"), (rate("router_connections_refused_total", ROUTES), "refused")], ""),
    ]),
    ("Money", [
        ("Billed by hour", "timeseries", "currencyUSD", [("router:cost_usd:increase1h", "USD in the hour before")], ""),
        ("Held", "timeseries", "currencyUSD", [(total("router_held_nano_usd") + " / 1e9", "USD")], "Credit held for calls that run, and for batches and responses in the background."),
        ("Holds", "timeseries", "short", [(total("router_holds_open"), "open"), (total("router_holds_expired_waiting"), "over, not yet acknowledged")], ""),
        ("Oldest hold", "timeseries", "s", [(now("router_hold_oldest_age_seconds"), "{{service}}")], "A batch may hold its credit for a week."),
        ("Overage in the hour before", "timeseries", "currencyUSD", [("sum(max without (instance) (increase(router_meter_overage_nano_total[1h]))) / 1e9", "USD")], "Cost that no credit could bear: the operator's."),
        ("Bills", "timeseries", "ops", [(rate("router_meter_settled_total"), "billed"), (rate("router_meter_corrected_total"), "corrected"), (rate("router_meter_duplicates_total"), "told twice"), (rate("router_meter_unpriced_total"), "without a price")], ""),
    ]),
    ("Usage feed and database", [
        ("Usage events that wait", "timeseries", "short", [(now("router_outbox_unacknowledged", by="replica"), "{{replica}}")], "At providersvc, not yet committed by meterd."),
        ("Age of the oldest", "timeseries", "s", [(now("router_outbox_oldest_age_seconds", by="replica"), "{{replica}}")], ""),
        ("Outboxes", "timeseries", "bytes", [(now("router_outbox_bytes", by="replica"), "{{replica}}")], "At 512 MB a providersvc takes no more calls."),
        ("Commit, p99", "timeseries", "s", [(quantile(0.99, "router_meter_commit_seconds"), "p99")], "Sync included."),
        ("Log of the database", "timeseries", "bytes", [(now("router_meter_wal_bytes"), "{{service}}")], ""),
        ("meterd's mailbox", "timeseries", "short", [(now("router_meter_mailbox_depth"), "{{service}}")], ""),
        ("State behind meterd", "timeseries", "short", [("max(router_meter_revision) - on () group_right () " + now("router_state_revision"), "{{service}} {{replica}}")], "Revisions that a service does not know yet."),
        ("Room on disks", "timeseries", "percentunit", [("min by (service, path) (router_disk_free_bytes / router_disk_size_bytes)", "{{service}} {{path}}")], ""),
    ]),
    ("Services", [
        ("Memory", "timeseries", "bytes", [(now("router_process_resident_bytes"), "{{service}} {{replica}}")], "Of the process: with one for all services they are the same."),
        ("CPU", "timeseries", "short", [("max by (service, replica) (rate(router_process_cpu_milliseconds_total[$__rate_interval])) / 1000", "{{service}} {{replica}}")], "Cores that are busy."),
        ("File descriptors", "timeseries", "percentunit", [("max by (service, replica) (router_process_open_fds / router_process_max_fds)", "{{service}} {{replica}}")], "Of those it may have."),
        ("Calls on the bus", "timeseries", "ops", [(rate("router_bus_calls_total", "", "service, outcome"), "{{service}} {{outcome}}")], "Answered by each service."),
        ("Calls on the bus, p99", "timeseries", "s", [(quantile(0.99, "router_bus_call_seconds", "", "service"), "{{service}}")], ""),
        ("Instances that take calls", "timeseries", "short", [(now("router_peer_instances", 'service="gateway"', "peer"), "{{peer}}")], "As the gateways see it."),
        ("Versions", "timeseries", "short", [("count by (service, version) (max without (instance) (router_build_info))", "{{service}} {{version}}")], "Instances of each."),
        ("Up for", "timeseries", "s", [("time() - max by (service, replica) (router_start_time_seconds)", "{{service}} {{replica}}")], ""),
    ]),
]

VARIABLES = [
    ("gateway", "Gateway", 'label_values(router_connections{service="gateway"}, replica)'),
    ("provider", "Provider", "label_values(router_upstream_attempts_total, provider)"),
    ("model", "Model", "label_values(router_model_calls_total, model)"),
]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name, label, query):
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE, "query": {"query": query, "refId": name},
        "includeAll": True, "allValue": ".*", "multi": True, "current": {"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1,
    }


def panel(number, title, kind, unit, queries, text, place):
    legend = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    value = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "area"}
    return {
        "id": number, "title": title, "type": kind, "description": text, "datasource": DATASOURCE, "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, **({"min": 0} if kind == "timeseries" else {})}, "overrides": []},
        "options": value if kind == "stat" else legend,
        "targets": [{"refId": chr(ord("A") + i), "datasource": DATASOURCE, "expr": expr, "legendFormat": name, "range": True} for i, (expr, name) in enumerate(queries)],
    }


def panels():
    """All rows one below the other: stats eight abreast, graphs two."""
    out, y = [], 0
    for title, row in ROWS:
        out.append({"id": len(out) + 1, "title": title, "type": "row", "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        x = 0
        for name, kind, unit, queries, text in row:
            width = COLUMNS // (8 if kind == "stat" else 2)
            if x + width > COLUMNS:
                x, y = 0, y + HEIGHT[kind]
            out.append(panel(len(out) + 1, name, kind, unit, queries, text, {"x": x, "y": y, "w": width, "h": HEIGHT[kind]}))
            x += width
        y += HEIGHT[row[-1][1]]
    return out


def dashboard():
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {"text": "Prometheus", "value": "prometheus"}}
    return {
        "uid": "openai-router", "title": "OpenAI Router", "tags": ["openai-router"], "schemaVersion": 38, "version": 1, "editable": True,
        "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "timezone": "browser", "graphTooltip": 1,
        "templating": {"list": [source] + [variable(*v) for v in VARIABLES]}, "panels": panels(),
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
