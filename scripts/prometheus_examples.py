"""The parts of prometheus_examples.sh that need a language.

prometheus_examples.py lint          holds alerts/ against the conventions, docs/runbook.md and the built-in alerts
prometheus_examples.py inhibit URL   sends alerts to the Alertmanager at URL and checks which ones are inhibited
prometheus_examples.py labels URL    checks the labels of alerts that Prometheus has relabelled
"""

import datetime
import json
import pathlib
import re
import sys
import time
import urllib.request

import yaml

RULES = sorted(pathlib.Path("alerts").glob("*.rules.yml"))
# Built-in alerts whose rules for Prometheus are written by hand.
OWN = {
    "ProxymeterStorageFailing",
    "ProxymeterReloadFailed",
    "ProxymeterHeartbeatWithheld",
    "ProxymeterNotificationsFailing",
    "ProxymeterNotificationsAbandoned",
}


def lint():
    headings = set(re.findall(r"^## (\w+)$", pathlib.Path("docs/runbook.md").read_text(), re.M))
    builtin = set(re.findall(r"\| (Proxymeter\w+) \|", pathlib.Path("docs/alerts.md").read_text()))
    assert len(builtin) > 20, builtin
    summaries = {}
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            name, rules = group["name"], group["rules"]
            assert len(name) <= 40 and len(rules) <= 20, f"{file}: group {name} is too long"
            # Prometheus 2 does not know labels of a group.
            assert set(group) <= {"name", "interval", "limit", "rules"}, f"{file}: group {name} has {set(group)}"
            for rule in (rule for rule in rules if "alert" in rule):
                summaries[rule["alert"]] = check_alert(file, rule)
    missing = (builtin | set(summaries)) - headings
    assert not missing, f"docs/runbook.md has no heading for {missing}"
    assert not headings - builtin - set(summaries), f"docs/runbook.md has a heading for no alert: {headings}"
    wording = pathlib.Path("src/wording/en.ftl").read_text()
    for alert in OWN:
        found = re.search(rf"^{alert} = (.*)$", wording, re.M)
        assert found and found[1] == summaries[alert], f"{alert}: the built-in alert has another summary"

    night = yaml.safe_load(pathlib.Path("packaging/prometheus/alertmanager.yml").read_text())["time_intervals"]
    assert night == [{"name": "night", "time_intervals": [mute("night")]}], night


def check_alert(file, rule):
    name, notes = rule["alert"], rule["annotations"]
    assert re.fullmatch(r"(?:[A-Z][a-z0-9]+)+", name) and len(name) <= 40, f"{file}: {name}"
    assert rule["labels"]["severity"] in ("critical", "warning", "info"), f"{file}: severity of {name}"
    assert re.fullmatch(r"[A-Z][^{]*\.", notes["summary"]), f"{file}: summary of {name}"
    assert notes["description"], f"{file}: description of {name}"
    assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}", f"{file}: runbook_url of {name}"
    return notes["summary"]


def mute(name):
    """[mute.NAME] of the example configuration, which is commented out there, in the form of Alertmanager."""
    example = pathlib.Path("exporter.example.toml").read_text()
    lines = example.partition(f"#[mute.{name}]\n")[2].splitlines()
    keys = dict(re.match(r'#(\w+) = "?([^"]*)', line).groups() for line in lines if re.match(r"#\w+ = ", line))
    assert keys["days"] == "mon-sun", keys
    begin, end = keys["hours"].split("-")
    times = [{"start_time": "00:00", "end_time": end}, {"start_time": begin, "end_time": "24:00"}]
    return {"times": times, "location": keys["zone"]}


def alert(name, **labels):
    return {"alertname": f"Proxymeter{name}", "job": "proxymeter", **labels}


def user(step, target="home", name="UserQuota", subject="ann"):
    return alert(name, target=target, kind="user", subject=subject, step=step)


def node(name, target="home", subject="n1"):
    return alert(name, target=target, kind="node", subject=subject)


def part(name, subject, target="home"):
    return alert(name, target=target, kind="part", subject=subject)


DOWN = alert("TargetDown", target="home", kind="target")
FAILING = alert("NotificationsFailing", instance="a:1", kind="receiver", subject="ops")
# Alerts that fire together, and those of them that are inhibited.
CASES = [
    ([alert("ExporterDown", instance="a:1"), alert("ReloadFailed", instance="b:1")], [DOWN, user("80%")]),
    ([alert("ExporterDown", instance="a:1"), {**DOWN, "job": "other"}], []),
    ([DOWN, node("NodeDown", target="edge")], [node("NodeDown"), user("80%"), part("PartStale", "users")]),
    ([DOWN], [alert("LoginRefused", target="home", kind="target"), part("PartStale", "users")]),
    ([part("PartStale", "users"), node("NodeDown")], [user("80%"), user("3d", name="UserExpiry")]),
    ([part("PartStale", "nodes"), user("80%"), node("NodeCpu")], [node("NodeDown")]),
    ([part("RightLost", "nodes"), part("PartStale", "users")], [part("PartStale", "nodes"), node("NodeDown")]),
    ([user("100%"), user("80%", subject="bob"), user("80%", target="edge")], [user("95%"), user("80%")]),
    ([user("expired", name="UserExpiry"), user("80%")], [user(step, name="UserExpiry") for step in ("1d", "3d", "7d")]),
    ([FAILING], [{**FAILING, "alertname": "ProxymeterNotificationsDelayed"}]),
]


def inhibit(url):
    # Each case is a cluster of its own.
    labels = [
        {**labels, "cluster": f"case-{number}", "inhibited": word}
        for number, (firing, inhibited) in enumerate(CASES)
        for word, group in (("no", firing), ("yes", inhibited))
        for labels in group
    ]
    send(url, labels)
    # Alertmanager looks at each alert only when its group is flushed, but computes its state when asked.
    deadline = time.monotonic() + 30
    while True:
        alerts = ask(f"{url}/api/v2/alerts")
        wrong = [a for a in alerts if bool(a["status"]["inhibitedBy"]) != (a["labels"]["inhibited"] == "yes")]
        if len(alerts) == len(labels) and not wrong:
            break
        assert time.monotonic() < deadline, f"{len(alerts)} alerts, wrong: {[a['labels'] for a in wrong]}"
        time.sleep(0.5)
    print(f"{len(labels)} alerts are inhibited as they should be")
    # They must not be in the way of what is asked next.
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    send(url, labels, endsAt=now)


def send(url, labels, **times):
    body = json.dumps([{"labels": each, **times} for each in labels]).encode()
    request = urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


def ask(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def check_labels(url):
    alerts = {each["labels"]["alertname"]: each["labels"] for each in ask(f"{url}/api/v2/alerts")}
    builtin = {"kind": "user", "subject": "ann", "step": "80%", "target": "home"}
    expected = {"alertname": "ProxymeterRelabelled", "severity": "info", **builtin}
    assert alerts["ProxymeterRelabelled"] == expected, alerts
    expected = {"alertname": "Other", "severity": "info", "job": "node", "target": "home", "cluster": "home"}
    assert alerts["Other"] == expected, alerts


match sys.argv[1:]:
    case ["lint"]:
        lint()
    case ["inhibit", url]:
        inhibit(url)
    case ["labels", url]:
        check_labels(url)
    case _:
        sys.exit(__doc__)
