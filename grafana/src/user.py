from layout import *
from panels import *
from queries import *

# One target at a time, because names of users recur.
ONE_TARGET = f'{EXPORTER},target="$target"'
USER = f'{ONE_TARGET},user="$user"'


def of_user(metric, *matchers):
    return latest(metric, *matchers, scope=USER)


def moved(window):
    return over("increase", "user_traffic_bytes", window=window, scope=USER)


LEFT = f"clamp_min({of_user('user_limit_bytes')} - {of_user('user_used_bytes')}, 0)"
FOUND = latest("user_used_bytes", 'user=~"(?i).*$search.*"', scope=ONE_TARGET)

DASHBOARD = dashboard(
    "proxymeter-user",
    "proxymeter / User",
    "One user: use against the quota, use per day, expiry, when online, inbounds and nodes.",
    EXPORTERS
    + [
        variable("target", "Target", TARGETS),
        textbox("search", "Search"),
        variable("user", "User", f"query_result(topk(500, {FOUND}))", regex='/user="([^"]+)"/', sort=0),
    ],
    [
        *stats(
            stat(
                "Status",
                "The user's status.",
                of_user("user_status"),
                legend="{{status}}",
                text="name",
                overrides=named_colors(active="green", on_hold="blue", limited="orange", expired="red", disabled=GRAY),
            ),
            stat(
                "Online",
                "Whether the user is online.",
                of_user("user_online"),
                mappings=words({0: ("no", GRAY), 1: ("yes", "green")}),
            ),
            gauge(
                "Used",
                "The share of the quota that is used. No data: the user has no quota.",
                f"{of_user('user_used_bytes')} / {of_user('user_limit_bytes')}",
            ),
            stat(
                "Left",
                "What is left of the quota. No data: the user has no quota.",
                LEFT,
                unit="bytes",
            ),
            stat(
                "Expires",
                "When the plan ends. No data: never, or it starts at the first use.",
                milliseconds("user_expiry", scope=USER),
                unit="dateTimeFromNow",
            ),
            stat(
                "Full in",
                "How long the quota lasts at the rate of the last three days.",
                f"{LEFT} / ({moved('[3d]')} > 0) * {3 * DAY}",
                unit="s",
                thresholds=steps("red", yellow=DAY, green=3 * DAY),
            ),
            stat(
                "Last seen",
                "When the user last had traffic.",
                milliseconds("user_last_online", scope=USER),
                unit="dateTimeFromNow",
            ),
        ),
        chart(
            "Use and quota",
            "Bytes that count against the quota, the quota, and the use in three days at the rate of the last three.",
            (14, 9),
            "bytes",
            line(of_user("user_used_bytes"), "used {{cluster}}"),
            line(of_user("user_limit_bytes"), "quota {{cluster}}", color="red", fill=0),
            line(f"{of_user('user_used_bytes')} + {moved('[3d]')}", "used in 3 days {{cluster}}", dashed=True),
            min=0,
        ),
        chart(
            "Traffic per day",
            "Bytes in each day of the time zone that is shown, also across resets of the quota; today so far.",
            (10, 9),
            "bytes",
            # Looks ahead, so that a bar shows the day that begins where it stands, and today so far.
            line(moved("[1d] offset -1d"), "{{user}} {{cluster}}"),
            draw="bars",
            interval="1d",
            last="30d",
            min=0,
        ),
        timeline(
            "Online",
            "When the user was online.",
            (24, 5),
            of_user("user_online"),
            "{{user}} {{cluster}}",
            words({0: ("offline", GRAY), 1: ("online", "green")}),
        ),
    ],
    [
        row(
            "More about the user",
            table(
                "Facts",
                "What is known about the user. Inbounds need `inbounds = true` in `[users]`.",
                (12, 8),
                labels_of(of_user("user_info")),
                label("admin"),
                labels_of(of_user("user_inbound_info")),
                label("inbound"),
                value("Plan after first use", of_user("user_expiry_pending_seconds"), unit="s"),
                value("Quota is reset", milliseconds("user_quota_reset", scope=USER), unit="dateTimeFromNow"),
                value("Renews", of_user("user_renews"), mappings=words({1: ("by itself", "text")})),
                value("Devices", of_user("user_devices")),
                value("Devices allowed", of_user("user_devices_limit")),
                hide=["user", "target"],
            ),
            chart(
                "Traffic",
                "Traffic of the user in total, and in both directions where the panel counts them.",
                (12, 8),
                "bps",
                line(bits("user_traffic", scope=USER), "both {{cluster}}"),
                line(bits("user_downlink", scope=USER), "down {{cluster}}"),
                line(bits("user_uplink", scope=USER), "up {{cluster}}", negative=True),
            ),
            chart(
                "Traffic by node",
                "Only for users in `node_traffic_of` of `[users]`.",
                (12, 8),
                "bps",
                line(bits("user_node_traffic", scope=USER), "{{node}} {{cluster}}"),
                stacked=True,
            ),
            text(
                "The list User has the 500 users of the target with most use whose name contains Search. With "
                '`labels = "hash"` in `[users]`, names are codes; the status page of proxymeter shows the same. With '
                '`labels = "off"`, or for users beyond `limit`, there is nothing to show here.',
                size=(12, 8),
            ),
        )
    ],
    time="now-7d",
)
