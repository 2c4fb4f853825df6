"""Compares the alerts that proxymeter has with those that Prometheus has by alerts/. Run by prometheus_e2e.sh.

alerts_e2e.py PROMETHEUS ALERTMANAGER

Both have the same alerts once nothing changes for the time that rules wait. Alertmanager has those of Prometheus.
"""

import json
import sys
import time
import urllib.parse
import urllib.request

PATIENCE, PAUSE, TIMES = 420, 5, 3
LABELS = ("alertname", "target", "kind", "subject", "step", "rule", "severity")
# Alerts of Prometheus that proxymeter does not have. They count users per target.
WITHOUT_TWIN = {"ProxymeterUsersExpiring", "ProxymeterUsersNearQuota"}
# What the demo must have to prove anything: alerts with and without steps and waiting times, of each kind of subject.
EXPECTED = {
    "ProxymeterUserExpiry",
    "ProxymeterUserQuota",
    "ProxymeterNodeDown",
    "ProxymeterOutboundDown",
    "ProxymeterCredentialQuota",
}


def get(url, **parameters):
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)


def key(labels):
    return tuple(labels.get(label, "") for label in LABELS)


def built_in(prometheus):
    answer = get(f"{prometheus}/api/v1/query", query="proxymeter_alert_firing == 1")
    return {key(series["metric"]) for series in answer["data"]["result"]}


def firing(prometheus):
    """The alerts that fire in Prometheus, without those whose condition no longer holds."""
    groups = get(f"{prometheus}/api/v1/rules", type="alert")["data"]["groups"]
    alerts = [alert for group in groups for rule in group["rules"] for alert in rule["alerts"]]
    return [alert["labels"] for alert in alerts if alert["state"] == "firing" and "keepFiringSince" not in alert]


def shown(keys):
    return sorted(" ".join(filter(None, each)) for each in keys)


def main(prometheus, alertmanager):
    until, equal = time.monotonic() + PATIENCE, 0
    while equal < TIMES:
        ours, theirs = built_in(prometheus), {key(labels) for labels in firing(prometheus)}
        counted = {each for each in theirs if each[0] in WITHOUT_TWIN}
        theirs -= counted
        lacking = EXPECTED - {each[0] for each in ours}
        equal = equal + 1 if ours == theirs and not lacking and counted else 0
        if time.monotonic() > until:
            sys.exit(
                f"only in proxymeter: {shown(ours - theirs)}\nonly in Prometheus: {shown(theirs - ours)}\n"
                f"not in proxymeter: {sorted(lacking)}, counts of users: {shown(counted)}"
            )
        time.sleep(PAUSE)
    print(f"{len(ours)} alerts of {len({each[0] for each in ours})} names fire in both")

    sent = {key(labels) for labels in firing(prometheus)}
    until = time.monotonic() + 60
    while lost := sent - {key(alert["labels"]) for alert in get(f"{alertmanager}/api/v2/alerts")}:
        assert time.monotonic() < until, f"not in Alertmanager: {shown(lost)}"
        time.sleep(PAUSE)
    print(f"Alertmanager has these and the {len(counted)} counts of users")


main(*sys.argv[1:])
