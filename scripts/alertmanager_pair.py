"""Kills and restarts exporters and Alertmanagers, and counts notifications. Run by alertmanager_pair.sh.

alertmanager_pair.py PROXYMETER ALERTMANAGER FOLDER
"""

import json
import pathlib
import re
import signal
import sys
import time

from alertmanager_lab import Gate, Hook, Process, cluster_of_two, free_port, get, is_whole, panels, until

RESEND = 8
# A little more than the time after which an alert resolves that is not posted.
LAPSE = 4 * RESEND + 8
# A panel that was down is polled again after two minutes at most.
BACK = 180
# Long enough for another flush of a group, and for the exporters' next posts.
QUIET = 2 * RESEND + 4

ALERTMANAGER = """
route:
  receiver: ops
  group_by: [target, alertname]
  group_wait: 3s
  group_interval: 4s
  repeat_interval: 1h
  routes:
    - match: {{target: gone}}
      receiver: none
receivers:
  - name: none
  - name: ops
    webhook_configs:
      - url: http://127.0.0.1:{port}/
        send_resolved: true
"""
EXPORTER = """
[web]
listen = "127.0.0.1:{port}"
[poll]
interval = "5s"
[storage]
path = "{storage}"
[alert.target_down]
for = "5s"
[alert.node_down]
enabled = false
[alert.core_down]
enabled = false
[alertmanager.pair]
urls = {urls}
resend = "{resend}s"
timeout = "2s"
min_severity = "critical"
{panel}
# Always down, so that there is always something to post.
{gone}
"""


def main(proxymeter, alertmanager, folder):
    folder = pathlib.Path(folder)
    hook = Hook()
    demo = (folder / "demo.toml").read_text(encoding="utf-8")
    # This panel needs no login, which an exporter that was restarted would not try again and again.
    panel, (host, port) = panels(demo)["edge"]
    gate = Gate((host, port))
    gone = panel.replace(f"{host}:{port}", "127.0.0.1:9").replace("[marzban.edge]", "[marzban.gone]")
    panel = panel.replace(f"{host}:{port}", f"127.0.0.1:{gate.port}")

    config = folder / "pair.yml"
    config.write_text(ALERTMANAGER.format(port=hook.port), encoding="utf-8")
    alertmanagers = cluster_of_two(alertmanager, config, folder, ("a", "b"))
    exporters = []
    for name in ("x", "y"):
        file, port = folder / f"{name}.toml", free_port()
        urls = [each.address for each in alertmanagers]
        storage = folder / f"kept-{name}"
        text = EXPORTER.format(port=port, storage=storage, urls=urls, resend=RESEND, panel=panel, gone=gone)
        file.write_text(text, encoding="utf-8")
        command = [proxymeter, f"--config.file={file}"]
        exporters.append(Process(folder, f"exporter-{name}", command, f"http://127.0.0.1:{port}"))
    try:
        check(hook, gate, alertmanagers, exporters)
    finally:
        Process.end_all()


def has_alert(alertmanager):
    alerts = json.loads(get(f"{alertmanager.address}/api/v2/alerts?active=true"))
    labels = [alert["labels"] for alert in alerts]
    return any((of["alertname"], of["target"]) == ("ProxymeterTargetDown", "edge") for of in labels)


def notices_shared(*alertmanagers):
    """How many entries of their notification logs the others have taken over."""
    line = r"^alertmanager_nflog_gossip_messages_propagated_total (\S+)$"
    return sum(float(re.search(line, get(f"{each.address}/metrics"), re.M)[1]) for each in alertmanagers)


def fires(exporter):
    metrics = get(f"{exporter.address}/metrics")
    return re.search(r'^proxymeter_alert_firing\{.*alertname="ProxymeterTargetDown".*target="edge".*\} 1$', metrics, re.M) is not None


def reads(exporter):
    return re.search(r"^proxymeter_up\{.*\} 1$", get(f"{exporter.address}/metrics"), re.M) is not None


def check(hook, gate, alertmanagers, exporters):
    (a, b), (x, y) = alertmanagers, exporters
    expected = []

    def notified(what, *more):
        expected.extend((status, "ProxymeterTargetDown") for status in more)
        until(BACK, what, lambda: len(hook.messages) >= len(expected))
        holds(what)

    def holds(what):
        if hook.seen() != expected:
            sys.exit(f"{what}: {hook.seen()} instead of {expected}")
        print(f"{what}: {len(expected)} notifications so far", flush=True)

    def quiet(seconds, what):
        time.sleep(seconds)
        holds(what)

    for each in alertmanagers:
        each.start()
    for each in alertmanagers:
        until(60, f"{each.name} is in a cluster", lambda each=each: is_whole(each))
    for each in exporters:
        each.start()
    for each in exporters:
        until(60, f"{each.name} reads the panel", lambda each=each: reads(each))

    def closed(what, has_alert):
        """Waits until the other Alertmanager knows that this is notified: if it does not, it notifies when the first is killed."""
        shared = notices_shared(a, b)
        gate.close()
        notified(what, "firing")
        until(30, f"{what}: each Alertmanager knows of the notification", lambda: notices_shared(a, b) > shared)
        for each in exporters:
            until(30, f"{each.name} has the alert {has_alert}", lambda each=each: fires(each))

    closed("the panel is down", "at first")
    x.end(signal.SIGKILL)
    a.end(signal.SIGKILL)
    quiet(LAPSE, "one exporter and one Alertmanager were killed")
    a.start()
    x.start()
    until(60, "the killed Alertmanager is back", lambda: is_whole(a) and has_alert(a))
    until(60, "the killed exporter is back", lambda: fires(x))
    quiet(QUIET, "both are back")

    b.end(signal.SIGKILL)
    gate.open()
    notified("the panel is up while an Alertmanager is down", "resolved")
    reasons = [alert["annotations"].get("reason") for message in hook.messages for alert in message["alerts"]]
    if reasons[1] != "recovered":
        sys.exit(f"the end does not say why the alert ended: {reasons}")
    b.start()
    until(60, "the other Alertmanager is back", lambda: is_whole(b))
    for each in exporters:
        until(BACK, f"{each.name} notices that the panel is up", lambda each=each: not fires(each))
    quiet(LAPSE, "it is back")

    closed("the panel is down again", "again")
    # Stopped, not killed: each keeps its notification log, which the other cannot give it now.
    for each in alertmanagers:
        each.end(signal.SIGTERM)
    gate.open()
    for each in exporters:
        until(BACK, f"the alert of {each.name} ends", lambda each=each: not fires(each))
    quiet(LAPSE, "the alert ended while both Alertmanagers were down")
    for each in alertmanagers:
        each.start()
    notified("both Alertmanagers are back", "resolved")
    quiet(QUIET, "at the end")


main(*sys.argv[1:])
