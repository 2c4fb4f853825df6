"""Dashboards: their variables, their marks for alerts, and where panels are."""

from panels import DATASOURCE
from queries import ALERT, SITE


def variable(name, title, query, every=None, regex="", sort=1):
    """A variable of one value, or of several with `every`, the regular expression for All."""
    is_many = every is not None
    several = {"allValue": every, "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return {
        "type": "query",
        "name": name,
        "label": title,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {
            "query": query,
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
            "qryType": 3 if query.startswith("query_result") else 1,
        },
        "regex": regex,
        "sort": sort,
        # On a change of the time range.
        "refresh": 2,
        "multi": is_many,
        "includeAll": is_many,
        "hide": 0,
        "options": [],
        "skipUrlSync": False,
        **(several if is_many else {"current": {}}),
    }


def choice(name, title, values):
    options = [{"text": each, "value": each, "selected": index == 0} for index, each in enumerate(values)]
    return {
        "type": "custom",
        "name": name,
        "label": title,
        "query": ",".join(values),
        "options": options,
        "current": options[0],
        "multi": False,
        "includeAll": False,
        "hide": 0,
        "skipUrlSync": False,
    }


def textbox(name, title):
    empty = {"text": "", "value": "", "selected": True}
    return {
        "type": "textbox",
        "name": name,
        "label": title,
        "query": "",
        "options": [empty],
        "current": empty,
        "hide": 0,
        "skipUrlSync": False,
    }


SOURCE = {
    "type": "datasource",
    "name": "datasource",
    "label": "Data source",
    "query": "prometheus",
    "regex": "",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "hide": 0,
    "options": [],
    "current": {},
    "skipUrlSync": False,
}
JOB = variable("job", "Job", "label_values(proxymeter_build_info, job)", every=".+")
# Not every site has the label cluster. Asked in this way, that is an answer, too.
CLUSTER = variable(
    "cluster",
    "Cluster",
    'query_result(count by (cluster) (last_over_time(proxymeter_build_info{job=~"$job"}[1d])))',
    every=".*",
    regex='/cluster="([^"]+)"/',
)
INSTANCE = variable(
    "instance", "Instance", 'label_values(proxymeter_build_info{job=~"$job",cluster=~"$cluster"}, instance)', every=".+"
)
TARGETS = 'label_values(proxymeter_up{job=~"$job",cluster=~"$cluster",instance=~"$instance"}, target)'
EXPORTERS = [SOURCE, JOB, CLUSTER, INSTANCE]
EVERYWHERE = EXPORTERS + [variable("target", "Target", TARGETS, every=".+")]


def annotation(name, expr, color, title):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "60s",
        "titleFormat": title,
        "textFormat": "{{target}} {{subject}} {{step}}",
        "tagKeys": "severity",
        "useValueForTime": False,
    }


# Alerts about users are too many for marks in charts.
ANNOTATIONS = [
    annotation(
        "Alerts of proxymeter",
        f'max without (instance) (proxymeter_alert_firing{{{ALERT},kind!="user"}})',
        "red",
        "{{alertname}}",
    ),
    annotation(
        "Alerts of Prometheus",
        f'ALERTS{{{SITE},target=~"$target|",alertname=~"Proxymeter.+",alertstate="firing",kind!="user"}}',
        "orange",
        "{{alertname}}",
    ),
]


def row(title, *panels):
    """Panels below a heading, which is closed at first."""
    return {"type": "row", "title": title, "collapsed": True, "panels": list(panels)}


def place(panels, top=0):
    """Puts panels beside each other, and the next below if a line is full. Returns where the last ends."""
    left, height = 0, 0
    for each in panels:
        grid = each["gridPos"]
        if left + grid["w"] > 24:
            left, top, height = 0, top + height, 0
        grid.update(x=left, y=top)
        left, height = left + grid["w"], max(height, grid["h"])
    return top + height


def dashboard(uid, title, description, variables, panels, rows=(), time="now-6h"):
    top = place(panels)
    for each in rows:
        each["gridPos"] = {"x": 0, "y": top, "w": 24, "h": 1}
        place(each["panels"], top + 1)
        top += 1
    panels = list(panels) + list(rows)
    numbered = [inner for each in panels for inner in [each, *each.get("panels", ())]]
    for number, each in enumerate(numbered, 1):
        each["id"] = number
    navigation = {
        "type": "dashboards",
        "title": "proxymeter",
        "tags": ["proxymeter"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["proxymeter"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "1m",
        "time": {"from": time, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "links": [navigation],
        "annotations": {"list": ANNOTATIONS},
        "templating": {"list": variables},
        "panels": panels,
    }
