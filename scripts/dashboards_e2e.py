"""Asks a Prometheus every query of every dashboard. Run by dashboards_e2e.sh.

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
# A user about whom the demo exports all that it can.
USER = "bob_85pct"

# Queries that return nothing while all is well in the demo.
EXCEPTIONS = {
    "fleet: Targets: Certificate": "the demo's panels are reached without TLS",
    "user: Facts: proxymeter_user_inbound_info": "users.inbounds is off in the demo",
}


class Query:
    """A query of a panel, with the name and the style of what it shows."""

    def __init__(self, file, panel, query):
        self.panel, self.expr, self.instant = panel, query["expr"], query["instant"]
        self.legend, self.ref = query["legendFormat"], query["refId"]
        organize = [each["options"] for each in panel.get("transformations", ()) if each["id"] == "organize"]
        columns = organize[0]["renameByName"] if organize else {}
        self.column = columns.get(f"Value #{self.ref}", columns.get("Value"))
        self.title = f"{file}: {panel['title']}"
        # Columns whose value is not shown go by their metric.
        self.name = f"{self.title}: {self.column or re.search(r'proxymeter_[a-z_]+', self.expr)[0] if organize else self.legend}"


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
        with urllib.request.urlopen(f"{self.server}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def instant(self, expr):
        return self.get("query", query=expr)["result"]

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

    def values(self, dashboard, target):
        """The variables of a dashboard, asked for as Grafana does; All for those that have it, but for `target`."""
        values = {}
        for variable in dashboard["templating"]["list"]:
            values[variable["name"]] = self.value(variable, values, target)
        return values

    def value(self, variable, values, target):
        if variable["type"] != "query":
            return variable["current"].get("value", "")
        query = fill(variable["query"]["query"], values)
        labels = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        result = re.fullmatch(r"query_result\((.*)\)", query)
        if labels:
            found = self.get(f"label/{labels[2]}/values", **{"match[]": labels[1]})
        else:
            series = (each["metric"] for each in self.instant(result[1]))
            texts = ("{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "} 1 1" for labels in series)
            matches = (re.search(variable["regex"].strip("/"), text) for text in texts)
            found = [match[1] for match in matches if match]
        if variable["name"] == "target" and target in found:
            return target
        if variable["includeAll"]:
            return variable["allValue"]
        if variable["name"] == "user" and USER in found:
            return USER
        return found[0] if found else ""


def seconds(duration):
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def fill(text, values):
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), text)


def without_data(prometheus, target):
    """The queries without data. With one target, those do not count that ask for a metric which the target does not have."""
    missing, asked = [], 0
    for dashboard, queries in dashboards():
        values = prometheus.values(dashboard, target)
        for query in queries:
            expr, found = prometheus.ask(query, values)
            if target and not found:
                selectors = set(re.findall(r"[\w:]+\{[^{}]*\}", expr))
                if not all(prometheus.instant(f"last_over_time({selector}[10m])") for selector in selectors):
                    continue
            asked += 1
            if not found and query.name not in EXCEPTIONS:
                missing.append(f"{query.name}: {expr}")
    return missing, asked


def check_data(prometheus):
    names = {query.name for _, queries in dashboards() for query in queries}
    unknown = set(EXCEPTIONS) - names
    assert not unknown, f"exceptions for queries that do not exist: {unknown}"
    until = time.time() + PATIENCE
    for target in [None, *prometheus.get("label/target/values")]:
        while True:
            missing, asked = without_data(prometheus, target)
            if not missing:
                break
            if time.time() > until:
                sys.exit(f"No data with target {target or 'All'}:\n" + "\n".join(missing))
            time.sleep(SCRAPE)
        print(f"target {target or 'All'}: {asked} queries return data")


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
    return [step["color"] for step in shown["thresholds"]["steps"] if step["value"] is None or value >= step["value"]][-1]


def green(prometheus):
    """The panels that are green now, and those whose exporters are red."""
    found, red = set(), set()
    for dashboard, queries in dashboards():
        values = prometheus.values(dashboard, None)
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
