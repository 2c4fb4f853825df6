"""Asks a Prometheus every query of every dashboard. Run by prometheus_e2e.sh.

dashboards_e2e.py SERVER data      every query returns data, with all targets and with each one
dashboards_e2e.py SERVER stopped   no panel is green while the exporter is stopped
"""

import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request

# The scrape interval, and for how long the data is waited for.
SCRAPE, PATIENCE = 5, 120
SHOWN = 120
# Users of the demo about whom, together, all is known that can be known about a user.
USERS = ("bob_85pct", "heidi_renews", "grace_delayed")

HEARTBEAT = "the demo has no dead man's switch"
EARLY = "staleness is judged once a target has been up for five minutes"
HEALTHY = "nothing of this kind fails in the demo"
# Queries that return nothing in the demo.
EXCEPTIONS = {
    "fleet: Targets: Certificate": "the demo's panels are reached without TLS",
    "user: Facts: proxymeter_user_inbound_info": "users.inbounds is off in the demo",
    "proxymeter: Failed reads: {{target}} {{part}} {{cluster}} {{reason}}": HEALTHY,
    "proxymeter: Notifications: {{receiver}} {{reason}}": HEALTHY,
    "proxymeter: Receivers: Oldest": "no notification waits for long in the demo",
    "proxymeter: User lists: Counted": "the demo's panels count what they return",
    "proxymeter: Parts: Right lost": "the demo's logins keep their rights",
    "proxymeter: Walks: {{target}} {{cluster}}": "there are no walks most of the time",
    "proxymeter: Stale: __auto": EARLY,
    "proxymeter: Parts: Stale": EARLY,
    "proxymeter: Heartbeat: {{instance}} attempts": HEARTBEAT,
    "proxymeter: Heartbeat: {{instance}} failed: {{reason}}": HEARTBEAT,
    "proxymeter: Heartbeat: {{instance}} withheld: {{reason}}": HEARTBEAT,
    "proxymeter: Exporters: Last heartbeat": HEARTBEAT,
}
# Queries that return nothing for some targets or users, although these have the metrics.
NOT_EVERYWHERE = {
    "user: Full in: __auto": "only with traffic",
    "users: Not seen: Last traffic": "only if some user is not seen for long",
}


class Query:
    """A query of a panel, with the name and the style of what it shows."""

    def __init__(self, file, panel, query):
        self.panel, self.expr, self.instant = panel, query["expr"], query["instant"]
        self.legend, self.ref = query["legendFormat"], query["refId"]
        organize = [each["options"] for each in panel.get("transformations", ()) if each["id"] == "organize"]
        columns = organize[0]["renameByName"] if organize else {}
        self.labels = {*columns, *organize[0]["excludeByName"]} if organize else None
        self.column = columns.get(f"Value #{self.ref}", columns.get("Value"))
        self.title = f"{file}: {panel['title']}"
        # Columns whose value is not shown go by their metric.
        name = self.column or re.search("proxymeter_[a-z_]+", self.expr)[0] if organize else self.legend
        self.name = f"{self.title}: {name}"


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def dashboards():
    for file in sorted(pathlib.Path("grafana").glob("*.json")):
        dashboard = json.loads(file.read_text("utf-8"))
        queries = [Query(file.stem, panel, query) for panel in panels(dashboard) for query in panel.get("targets", ())]
        yield dashboard, queries


class Prometheus:
    def __init__(self, server):
        self.server = server

    def get(self, path, **parameters):
        with urllib.request.urlopen(
            f"{self.server}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30
        ) as answer:
            return json.load(answer)["data"]

    def instant(self, expr):
        return self.get("query", query=expr)["result"]

    def had(self, selector):
        return self.instant(f"last_over_time({selector}[10m])")

    def ask(self, query, values):
        """The series that the panel would get."""
        panel = query.panel
        step, shown = seconds(panel.get("interval", f"{SCRAPE}s")), seconds(panel.get("timeFrom", f"{SHOWN}s"))
        window = max(4 * SCRAPE, step + SCRAPE)
        expr = fill(query.expr, {**values, "__rate_interval": f"{window}s", "__range": f"{shown}s"})
        if query.instant:
            return expr, self.instant(expr)
        now = time.time() // step * step
        return expr, self.get("query_range", query=expr, start=now - shown, end=now, step=step)["result"]

    def values(self, dashboard, **wanted):
        """The variables of a dashboard, asked for as Grafana does; All for those that have it and are not given."""
        values = {}
        for variable in dashboard["templating"]["list"]:
            values[variable["name"]] = self.value(variable, values, wanted.get(variable["name"]))
        return values

    def value(self, variable, values, wanted):
        if variable["type"] != "query":
            return variable["current"].get("value", "")
        query = fill(variable["query"]["query"], values)
        labels = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        result = re.fullmatch(r"query_result\((.*)\)", query)
        if labels:
            found = self.get(f"label/{labels[2]}/values", **{"match[]": labels[1]})
        else:
            series = (each["metric"] for each in self.instant(result[1]))
            texts = (
                "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "} 1 1" for labels in series
            )
            matches = (re.search(variable["regex"].strip("/"), text) for text in texts)
            found = [match[1] for match in matches if match]
        if wanted in found:
            return wanted
        return variable["allValue"] if variable["includeAll"] else found[0] if found else ""


def seconds(duration):
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def selectors(expr):
    return set(re.findall(r"[\w:]+\{[^{}]*\}", expr))


def fill(text, values):
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), text)


def ask_all(prometheus, target=None, user=None):
    """The names of the queries that return data, and those that should and do not."""
    answered, missing = set(), []
    for dashboard, queries in dashboards():
        single = {variable["name"] for variable in dashboard["templating"]["list"] if not variable.get("includeAll")}
        if user not in (None, USERS[0]) and "user" not in single:
            continue
        values = prometheus.values(dashboard, target=target, user=user)
        for query in queries:
            expr, found = prometheus.ask(query, values)
            if found:
                answered.add(query.name)
                stray = set().union(*(series["metric"] for series in found)) - (query.labels or set())
                assert query.labels is None or not stray, f"{query.name}: columns without a place: {stray}"
                continue
            if query.name in EXCEPTIONS:
                continue
            # No target and no user has every metric.
            is_part = target or "target" in single
            if not is_part or query.name not in NOT_EVERYWHERE and all(map(prometheus.had, selectors(expr))):
                missing.append(f"{query.name}: {expr}")
    return answered, missing


def check_data(prometheus):
    names = {query.name for _, queries in dashboards() for query in queries}
    unknown = {*EXCEPTIONS, *NOT_EVERYWHERE} - names
    assert not unknown, f"exceptions for queries that do not exist: {unknown}"
    until = time.time() + PATIENCE

    def answered(**wanted):
        found, missing = ask_all(prometheus, **wanted)
        while missing:
            if time.time() > until:
                sys.exit(f"No data with {wanted or 'all targets'}:\n" + "\n".join(missing))
            time.sleep(SCRAPE)
            found, missing = ask_all(prometheus, **wanted)
        return found

    returned = answered()
    print(f"all targets: {len(returned)} queries return data")
    for target in prometheus.get("label/target/values"):
        of_target = set().union(*(answered(target=target, user=user) for user in USERS))
        print(f"target {target}: {len(of_target)} queries return data")
        returned |= of_target
    never = names - returned - set(EXCEPTIONS)
    assert not never, f"no data with any target: {sorted(never)}"
    print(f"{len(returned)} queries return data, {len(names - returned)} are excepted")


# What is green.


def style(query, series):
    """The style of a series, with the overrides that apply to it."""
    config = query.panel["fieldConfig"]
    shown = dict(config["defaults"])
    name = query.column or re.sub(r"\{\{(\w+)\}\}", lambda match: series["metric"].get(match[1], ""), query.legend)
    for override in config["overrides"]:
        matcher = override["matcher"]
        if (matcher["id"], matcher["options"]) in (("byName", name), ("byFrameRefID", query.ref)):
            shown.update({each["id"]: each["value"] for each in override["properties"]})
    return shown


def color(query, series):
    """The color in which a panel shows a value, if its color depends on the value."""
    shown, value = style(query, series), float(series["value"][1])
    kind = query.panel["type"]
    if kind == "timeseries":
        return None
    cell = shown.get("custom.cellOptions", shown.get("custom", {}).get("cellOptions", {})).get("type", "")
    if kind == "table" and not (cell.startswith("color") or cell == "gauge"):
        return None
    if shown["color"]["mode"] == "fixed":
        return shown["color"]["fixedColor"]
    for mapping in shown["mappings"]:
        result = mapping["options"].get(f"{value:g}") if mapping["type"] == "value" else None
        if mapping["type"] == "special" and value != value:
            result = mapping["options"]["result"]
        if result:
            return result["color"]
    return [step["color"] for step in shown["thresholds"]["steps"] if step["value"] is None or value >= step["value"]][
        -1
    ]


def green(prometheus):
    """The panels that are green now, and those whose exporters are red."""
    found, red = set(), set()
    for dashboard, queries in dashboards():
        values = prometheus.values(dashboard)
        for query in queries:
            query.instant = True
            colors = {color(query, series) for series in prometheus.ask(query, values)[1]}
            if any(name and "green" in name for name in colors):
                found.add(query.title)
            if query.panel["title"] == "Exporters" and colors == {"red"}:
                red.add(query.title)
    return found, red


def check_stopped(prometheus):
    # As long as rates look back.
    time.sleep(6 * SCRAPE)
    found, red = green(prometheus)
    assert not found, f"green, though the exporter is stopped: {sorted(found)}"
    print(f"no panel is green, and the exporters are red in {len(red)} dashboards")
    assert len(red) == len(list(dashboards())), sorted(red)


prometheus = Prometheus(sys.argv[1])
if sys.argv[2] == "data":
    check_data(prometheus)
    # Otherwise it would prove nothing that none is, later.
    found, _ = green(prometheus)
    assert len(found) > 20, found
    print(f"{len(found)} panels are green")
else:
    check_stopped(prometheus)
