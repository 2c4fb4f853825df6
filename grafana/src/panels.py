"""Panels as Grafana 10 and newer reads them."""

from queries import process

GRAY, BLUE = "#8e8e8e", "blue"
DAY = 86400
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Without this, Grafana shows what is missing in the color of the lowest threshold, which may be green.
NO_DATA = {
    "type": "special",
    "options": {"match": "null+nan", "result": {"text": "no data", "color": GRAY, "index": 0}},
}
NO_CELL = {"type": "special", "options": {"match": "null+nan", "result": {"text": "–", "color": GRAY, "index": 0}}}


# Links. They keep the time, the data source and the variables.


def dashboard_link(title, uid):
    return [{"title": title, "url": f"/d/{uid}?${{__all_variables}}&${{__url_time_range}}"}]


def row_link(title, uid, *columns):
    """A link from a table that passes the job of the row and the names in some of its columns: target, user. Not every row
    has a cluster, and a column that is missing would break the link."""
    keep = "${datasource:queryparam}&${cluster:queryparam}&${instance:queryparam}"
    names = (f"var-{column.lower()}=${{__data.fields.{column}:percentencode}}" for column in ("Job",) + columns)
    return [{"title": title, "url": f"/d/{uid}?{keep}&{'&'.join(names)}&${{__url_time_range}}"}]


TO_USERS = dashboard_link("Users", "proxymeter-users")
TO_NODES = dashboard_link("Nodes and hosts", "proxymeter-nodes")
TO_SELF = dashboard_link("proxymeter itself", "proxymeter-self")
ROW_TO_USERS = row_link("Users of this target", "proxymeter-users", "Target")
ROW_TO_USER = row_link("This user", "proxymeter-user", "Target", "User")
ROW_TO_NODES = row_link("Nodes and hosts of this target", "proxymeter-nodes", "Target")


# Colors.


def steps(base=BLUE, **colors):
    """Thresholds: a color below, and colors from a value on, in rising order."""
    return [{"color": base, "value": None}] + [{"color": color, "value": at} for color, at in colors.items()]


BAD = steps("green", red=1)
DOUBTFUL = steps("green", yellow=1)
FILLING = steps("green", yellow=0.8, red=0.95)
EXPIRES = steps("red", yellow=7 * DAY, green=21 * DAY)


def words(named):
    """Shows values as words: words({0: ("down", "red")})."""
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(named.items())
    }
    return [{"type": "value", "options": options}]


def statuses(**colors):
    """What queries.numbered() has made of words, as words again."""
    return words(dict(enumerate(colors.items(), 1)))


SEVERITY = words({each: (each, color) for each, color in (("critical", "red"), ("warning", "orange"), ("info", BLUE))})
UP = words({0: ("DOWN", "red"), 1: ("UP", "green")})
YES = words({0: ("no", "red"), 1: ("yes", "green")})
NODE_STATUS = statuses(
    connected="green", connecting="yellow", error="red", disabled=GRAY, limited="orange", unknown="purple"
)


# Queries.


def line(expr, legend="{{target}} {{cluster}}", **style):
    """A line of a chart. Style: color, dashed, negative (below the axis), fill."""
    return {"expr": expr, "legend": legend, "style": style}


def queries(lines, instant):
    return [
        {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": line["expr"],
            "instant": instant,
            "range": not instant,
            "legendFormat": line["legend"],
            "refId": chr(ord("A") + number),
        }
        for number, line in enumerate(lines)
    ]


def styles(lines):
    """The overrides for lines that do not look as the others do."""
    properties = {
        "color": lambda color: [("color", {"mode": "fixed", "fixedColor": color})],
        "dashed": lambda _: [("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}), ("custom.fillOpacity", 0)],
        "negative": lambda _: [("custom.transform", "negative-Y")],
        "fill": lambda opacity: [("custom.fillOpacity", opacity)],
    }
    return [
        override(
            "byFrameRefID",
            chr(ord("A") + number),
            [p for key, value in each["style"].items() for p in properties[key](value)],
        )
        for number, each in enumerate(lines)
        if each["style"]
    ]


def override(matcher, options, properties):
    return {
        "matcher": {"id": matcher, "options": options},
        "properties": [{"id": key, "value": value} for key, value in properties],
    }


def named_colors(**colors):
    """Colors of series by their name."""
    return [
        override("byName", name, [("color", {"mode": "fixed", "fixedColor": color})]) for name, color in colors.items()
    ]


# Panels. Their size is in units of the grid, which is 24 wide.


def panel(kind, title, description, size, targets, defaults, options, overrides=(), **more):
    """`more` is `interval`, the least step and with it the least window of rates, `timeFrom`, and so on."""
    width, height = size
    return {
        "type": kind,
        "title": title,
        "description": description,
        "gridPos": {"w": width, "h": height},
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        **{key: value for key, value in more.items() if value is not None},
    }


def field(unit, thresholds, mappings, missing=NO_DATA, **more):
    shown = {"unit": unit, "thresholds": {"mode": "absolute", "steps": thresholds}, "color": {"mode": "thresholds"}}
    return {**shown, "mappings": mappings + [missing], "noValue": "no data", **more}


def reduced():
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(
    title,
    description,
    expr,
    unit="short",
    thresholds=steps(),
    mappings=(),
    links=(),
    legend="__auto",
    text="auto",
    overrides=(),
):
    defaults = field(unit, thresholds, list(mappings), links=list(links))
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": text,
        "reduceOptions": reduced(),
    }
    targets = queries([line(expr, legend)], instant=True)
    return panel("stat", title, description, (3, 4), targets, defaults, options, overrides)


def gauge(title, description, expr, unit="percentunit", thresholds=FILLING):
    options = {
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "reduceOptions": reduced(),
    }
    defaults = field(unit, thresholds, [], min=0, max=1)
    return panel("gauge", title, description, (3, 4), queries([line(expr)], instant=True), defaults, options)


def stats(*panels):
    """A line of small panels, with the exporters before them."""
    exporters = stat(
        "Exporters",
        "Whether Prometheus reaches the exporters. While one is down, what it alone exports is missing below.",
        process("up"),
        mappings=UP,
        thresholds=steps("red", green=1),
        legend="{{instance}}",
        links=TO_SELF,
    )
    panels = (exporters,) + panels
    for each in panels:
        each["gridPos"]["w"] = 24 // len(panels)
    return list(panels)


def bars(title, description, size, expr, legend, unit, thresholds=FILLING, **limits):
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "reduceOptions": reduced(),
    }
    defaults = field(unit, thresholds, [], min=0, **limits)
    return panel("bargauge", title, description, size, queries([line(expr, legend)], instant=True), defaults, options)


# How Grafana calls what it calculates, in the legends of charts.
CALCS = {"lastNotNull": "Last *", "mean": "Mean", "max": "Max"}


def chart(
    title,
    description,
    size,
    unit,
    *lines,
    draw="line",
    stacked=False,
    overrides=(),
    interval=None,
    last=None,
    calcs=(),
    **limits,
):
    """Lines over time. `draw` is line or bars; `last` is a time range of its own. With `calcs` the names of the lines
    are in a table beside the chart, the largest first."""
    custom = {
        "drawStyle": draw,
        "lineWidth": 1,
        "fillOpacity": {"bars": 80, "line": 30 if stacked else 10}[draw],
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "custom": custom, "noValue": "no data", **limits}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    if calcs:
        legend.update(displayMode="table", placement="right", calcs=list(calcs), sortBy=CALCS[calcs[0]], sortDesc=True)
    options = {
        "legend": legend,
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries",
        title,
        description,
        size,
        queries(lines, instant=False),
        defaults,
        options,
        [*styles(lines), *overrides],
        interval=interval,
        timeFrom=last,
    )


def timeline(title, description, size, expr, legend, mappings):
    options = {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = field("short", steps(GRAY), mappings, custom={"fillOpacity": 80, "lineWidth": 0})
    return panel(
        "state-timeline", title, description, size, queries([line(expr, legend)], instant=False), defaults, options
    )


def text(content, size=(24, 3), title="About this data"):
    return {
        "type": "text",
        "title": title,
        "description": content,
        "gridPos": {"w": size[0], "h": size[1]},
        "options": {"mode": "markdown", "content": content},
    }


# Tables. Each column is a label of the series or the value of a query.


def label(name, title=None, mappings=(), links=(), width=None, **more):
    title = title or name.replace("_", " ").capitalize()
    return {"label": name, "title": title, "mappings": mappings, "links": links, "width": width, **more}


def value(title, expr, unit="short", thresholds=None, mappings=(), cell=None, width=None, decimals=None, **limits):
    """A column of values. `cell` is how Grafana draws them; by default the text has the color of the thresholds."""
    style = {
        "unit": unit,
        "thresholds": thresholds,
        "mappings": mappings,
        "cell": cell,
        "width": width,
        "decimals": decimals,
    }
    return {"title": title, "expr": expr, **style, **limits}


def labels_of(expr):
    """A query whose labels are shown, and whose value, 1, is not."""
    return {"title": None, "expr": expr}


def table(title, description, size, *columns, hide=(), sort=None, descending=False):
    # Links need the job. In a narrow table it is not shown.
    columns += (label("cluster"), label("job", hidden=size[0] <= 12))
    asked = [column for column in columns if "expr" in column]
    targets = queries([line(column["expr"], legend="") for column in asked], instant=True)
    for query in targets:
        query["format"] = "table"
    names = {
        id(column): f"Value #{query['refId']}" if len(asked) > 1 else "Value" for column, query in zip(asked, targets)
    }
    names.update({id(column): column["label"] for column in columns if "label" in column})
    shown = [column for column in columns if column["title"] is not None]
    hidden = ["Time", *hide] + [names[id(column)] for column in asked if column["title"] is None]
    if len(asked) > 1:
        # This is the name of the values if only one of the queries has a result.
        hidden.append("Value")
    hidden += [name for name in ("__name__", "instance") if name not in (column.get("label") for column in shown)]
    organize = {
        "excludeByName": {name: True for name in hidden},
        "indexByName": {names[id(column)]: index for index, column in enumerate(shown)},
        "renameByName": {names[id(column)]: column["title"] for column in shown},
    }
    transformations = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    options = {
        "cellHeight": "sm",
        "showHeader": True,
        "footer": {"show": False, "reducer": [], "countRows": False, "fields": ""},
    }
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": descending}]
    defaults = field(
        "short", steps("text"), [], missing=NO_CELL, custom={"align": "auto", "cellOptions": {"type": "auto"}}
    )
    return panel(
        "table",
        title,
        description,
        size,
        targets,
        defaults,
        options,
        [override("byName", column["title"], column_style(column)) for column in shown if column_style(column)],
        transformations=transformations,
    )


def column_style(column):
    thresholds, mappings = column.get("thresholds"), column["mappings"]
    cell = column.get("cell") or ("color-text" if thresholds or mappings else None)
    mode = {"mode": "basic"} if cell in ("gauge", "color-background") else {}
    properties = {
        "unit": column.get("unit"),
        "decimals": column.get("decimals"),
        "min": column.get("min"),
        "max": column.get("max"),
        "mappings": list(mappings) + [NO_CELL] if mappings else None,
        "thresholds": {"mode": "absolute", "steps": thresholds} if thresholds else None,
        "links": column.get("links") or None,
        "custom.cellOptions": {"type": cell, **mode} if cell else None,
        "custom.width": column["width"],
        "custom.hidden": column.get("hidden") or None,
    }
    return [(key, value) for key, value in properties.items() if value is not None]
