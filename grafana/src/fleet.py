from layout import *
from panels import *
from queries import *
from users import active, expiring, expiring_next, near_quota, online, over_quota


def traffic(direction):
    """Of the proxies of a target. Panels that do not count it count that of their inbounds."""
    return f"({bits(f'proxy_{direction}')} or sum without (inbound) ({bits(f'inbound_{direction}')}))"


READ = age('part=~"system|credentials"')


def firing(*matchers):
    return latest("alert_firing", *matchers, scope=ALERT)


CRITICAL = firing('severity="critical"')
# Those about users may be thousands, so they come last.
OTHERS = firing('kind!="user"')
WARNINGS = firing('severity="warning"')
FIRING = f"topk(100, 4 * {CRITICAL} or 3 * {OTHERS} or 2 * {WARNINGS} or {firing()})"

DASHBOARD = dashboard(
    "proxymeter-fleet",
    "proxymeter / Fleet",
    "All targets at a glance: which are up, what they carry, whose plan or quota ends, what fires.",
    EVERYWHERE,
    [
        *stats(
            stat(
                "Targets down",
                "Targets that did not answer when last polled.",
                zeros("up"),
                thresholds=BAD,
                links=TO_SELF,
            ),
            stat(
                "Nodes down",
                "Nodes to which their panel is not connected, without disabled ones.",
                zeros("node_up"),
                thresholds=BAD,
                links=TO_NODES,
            ),
            active(),
            online(),
            expiring(),
            over_quota("95 %", "0.95"),
            stat(
                "Critical alerts",
                "Alerts of proxymeter that fire and are critical.",
                f"count({CRITICAL}) or 0 * count({own('alerts')})",
                thresholds=BAD,
            ),
        ),
        table(
            "Targets",
            "One line for each target. Age: since the last complete read of its cheapest part. Certificate: the"
            " time until it expires.",
            (24, 7),
            label("target", links=ROW_TO_NODES),
            value("State", latest("up"), mappings=UP, cell="color-background", width=80),
            labels_of(one("target_info")),
            label("system"),
            label("version"),
            value("Users", f"sum without (status) ({latest('users')})"),
            value("Online", latest("users_online")),
            value("Nodes down", f"sum without (node) ({latest('node_up')} == bool 0)", thresholds=BAD),
            value("Traffic", f"{traffic('downlink')} + {traffic('uplink')}", unit="bps"),
            value("Age", f"max without (part) ({READ})", unit="s", thresholds=steps("green", yellow=180, red=600)),
            value(
                "Certificate",
                f"{latest('target_certificate_expiry_timestamp_seconds')} - time()",
                unit="s",
                thresholds=EXPIRES,
            ),
            hide=["generation"],
            sort="Target",
        ),
        chart(
            "Traffic",
            "Traffic of the proxies of each target: to the users above the axis, from them below it.",
            (8, 8),
            "bps",
            line(traffic("downlink"), "{{target}} {{cluster}} down"),
            line(traffic("uplink"), "{{target}} {{cluster}} up", negative=True),
        ),
        table(
            "Firing alerts",
            "Alerts of proxymeter that fire; at most 100, those about users last. A tighter step covers the "
            "wider ones.",
            (9, 8),
            value(None, FIRING),
            label("alertname", "Alert"),
            label("severity", mappings=SEVERITY),
            label("subject"),
            label("target"),
            label("step"),
            hide=["kind", "rule"],
        ),
        expiring_next((7, 8)),
    ],
    [row("Near quota", near_quota((24, 9)))],
)
