from layout import *
from panels import *
from queries import *

NAMES = (
    'Needs metrics of single users: with `labels = "hash"` in `[users]`, names are codes; with `labels = "off"`, there '
    "is nothing to show."
)
USED = "target_user:proxymeter_user_traffic_bytes"
WHO = (label("user", links=ROW_TO_USER), label("target"))


def online():
    return stat("Online", "Users with traffic in the last two minutes.", total("users_online"), links=TO_USERS)


def active():
    return stat("Active", "Users whose status is active.", total("users", 'status="active"'), links=TO_USERS)


def expiring():
    title, within = "Expiring in 3 d", 'within="3d"'
    return stat(
        title,
        "Active users whose plan ends within three days.",
        total("users_expiring", within),
        thresholds=DOUBTFUL,
        links=TO_USERS,
    )


def over_quota(percent, ratio):
    about = f"Active and limited users who have used at least {percent} of their quota."
    return stat(
        f"Over {percent}", about, total("users_near_quota", f'ratio="{ratio}"'), thresholds=DOUBTFUL, links=TO_USERS
    )


def expiring_next(size):
    ends = of_active(milliseconds("user_expiry"))
    return table(
        "Expiring next",
        f"The 20 active users whose plan ends first. {NAMES}",
        size,
        *WHO,
        value("Expires", f"bottomk(20, ({ends}) > 1000 * time())", unit="dateTimeFromNow"),
        sort="Expires",
    )


def near_quota(size):
    share = of_active(f"{latest('user_used_bytes')} / {latest('user_limit_bytes')}")
    return table(
        "Near quota",
        f"The 20 active users who have used most of their quota. {NAMES}",
        size,
        *WHO,
        value("Used", f"topk(20, {share})", unit="percentunit", thresholds=FILLING, cell="gauge", min=0, max=1),
        sort="Used",
        descending=True,
    )


DEVICES = f"topk(20, {latest('user_devices')})"
UNSEEN = of_active(f"time() - {latest('user_last_online_timestamp_seconds')}")

DASHBOARD = dashboard(
    "proxymeter-users",
    "proxymeter / Users",
    "Users of all targets: who uses most, whose plan or quota ends, who is gone. Some panels need "
    "alerts/recording.rules.yml.",
    EVERYWHERE + [choice("days", "Not seen for days", ["7", "30", "90"])],
    [
        *stats(
            active(),
            online(),
            expiring(),
            over_quota("80 %", "0.8"),
            stat("Limited", "Users whose quota is used up.", total("users", 'status="limited"'), thresholds=DOUBTFUL),
            stat(
                "Full in 3 d",
                "Active users whose quota is used up within three days at the rate of the last three, before it is reset "
                "and before the plan ends.",
                total("users_forecast_exhausted", 'within="3d"'),
                thresholds=DOUBTFUL,
            ),
            stat(
                "Left out",
                "Users without series of their own, because a target has more than users.limit.",
                total("target_users_omitted"),
                thresholds=BAD,
            ),
        ),
        chart(
            "Top talkers",
            f"The ten users with most traffic in the time that is shown. Needs the recording rules. {NAMES}",
            (14, 8),
            "bps",
            line(f"8 * {leading(USED + ':topk20_rate5m')}", "{{user}} {{target}} {{cluster}}"),
            calcs=["mean", "max"],
        ),
        table(
            "Most used in 30 days",
            "The 20 users with most traffic in the last 30 days, also across resets of the quota. Needs the recording "
            f"rules. {NAMES}",
            (10, 8),
            *WHO,
            value("Traffic", f"topk(20, {hourly(USED + ':increase30d')})", unit="bytes"),
            sort="Traffic",
            descending=True,
        ),
        expiring_next((8, 9)),
        near_quota((8, 9)),
        table(
            "Not seen",
            f"The 20 active users whose last traffic is longest ago, but at least the chosen number of days. {NAMES}",
            (8, 9),
            *WHO,
            value("Last traffic", f"topk(20, ({UNSEEN}) > 86400 * $days)", unit="s"),
            sort="Last traffic",
            descending=True,
        ),
    ],
    [
        row(
            "Counts over time",
            chart(
                "Users by status",
                "All users, by status.",
                (6, 8),
                "short",
                line(f"sum by (status) ({latest('users')})", "{{status}}"),
                stacked=True,
                overrides=named_colors(active="green", on_hold="blue", limited="orange", expired="red", disabled=GRAY),
            ),
            chart(
                "Users whose plan ends",
                "Active users, by the time until their plan ends. A longer time includes the shorter ones.",
                (6, 8),
                "short",
                line(f"sum by (within) ({latest('users_expiring')})", "within {{within}}"),
            ),
            chart(
                "Inactive users",
                "Active users who were not online for the given time. A shorter time includes the longer ones.",
                (6, 8),
                "short",
                line(f"sum by (within) ({latest('users_inactive')})", "for {{within}}"),
            ),
            chart(
                "Users near their quota",
                "Active and limited users, by the share of their quota that is used. A smaller share includes "
                "the larger ones.",
                (6, 8),
                "short",
                line(f"sum by (ratio) ({latest('users_near_quota')})", "from {{ratio}}"),
            ),
            chart(
                "Users whose quota is used up soon",
                "Active users, by the time until their quota is used up at the rate of the last three days. A longer time "
                "includes the shorter ones.",
                (6, 8),
                "short",
                line(f"sum by (within) ({latest('users_forecast_exhausted')})", "within {{within}}"),
            ),
            chart(
                "Users online",
                "Users with traffic in the last two minutes, and in the last day where the panel counts those.",
                (6, 8),
                "short",
                line(latest("users_online")),
                line(latest("users_seen"), "{{target}} {{cluster}} within {{within}}", dashed=True),
            ),
            table(
                "Shared accounts",
                "The 20 users with most addresses in use at present, where the panel knows them. More than the limit may mean that "
                f"an account is shared. {NAMES}",
                (6, 8),
                *WHO,
                value("Addresses", DEVICES),
                value("Allowed", f"{latest('user_devices_limit')} and {DEVICES}"),
                sort="Addresses",
                descending=True,
            ),
            table(
                "What the panels call ending soon",
                "Below these limits, the panel itself warns about a user. Only some panels have such limits.",
                (6, 8),
                label("target"),
                value("Time left", latest("target_expiry_threshold_seconds"), unit="s"),
                value("Quota left", latest("target_quota_threshold_bytes"), unit="bytes"),
            ),
        )
    ],
    time="now-24h",
)
