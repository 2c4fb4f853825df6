from layout import *
from panels import *
from queries import *

USED = "target_admin:proxymeter_user_traffic_bytes"
USERS = latest("users_by_admin")
RESELLERS = latest("admin_info", 'sudo="false"')

DASHBOARD = dashboard(
    "proxymeter-resellers",
    "proxymeter / Resellers",
    "What the users of each admin use. Some panels need alerts/recording.rules.yml. Only some panels have admins.",
    EVERYWHERE,
    [
        *stats(
            stat("Resellers", "Admins without all permissions.", f"count({RESELLERS})"),
            stat(
                "Users of resellers",
                "Users of admins without all permissions.",
                f"sum({USERS} and on (cluster, job, target, admin) {RESELLERS})",
            ),
            stat(
                "Used",
                "Bytes of the users of all admins, as counted and reset by the panel.",
                total("admin_used_bytes"),
                unit="bytes",
            ),
            stat(
                "Traffic",
                "Traffic of the users of all admins. Needs the recording rules.",
                while_running(f"8 * sum({recorded(USED + ':rate5m')})"),
                unit="bps",
            ),
            stat(
                "Traffic in 30 days",
                "Traffic of the users of all admins in 30 days, also across resets. Needs the recording rules.",
                f"sum({hourly(USED + ':increase30d')})",
                unit="bytes",
            ),
        ),
        table(
            "Resellers",
            "One line for each admin of each target. Used: as counted and reset by the panel. Limit: "
            "the configuration's (admin_limits) or the panel's own. Traffic: also "
            "across resets. Needs the recording rules.",
            (14, 10),
            label("admin"),
            label("target", links=ROW_TO_USERS),
            labels_of(one("admin_info", "admin")),
            label("sudo", "All permissions"),
            value("Users", f"sum without (status) ({USERS})"),
            value("Active", latest("users_by_admin", 'status="active"')),
            value("Used", latest("admin_used_bytes"), unit="bytes"),
            value("Limit", latest("admin_limit_bytes"), unit="bytes"),
            value(
                "Of limit",
                f"{latest('admin_used_bytes')} / {latest('admin_limit_bytes')}",
                unit="percentunit",
                thresholds=FILLING,
                cell="gauge",
                min=0,
                max=1,
            ),
            value("Traffic 24 h", hourly(USED + ":increase1d"), unit="bytes"),
            value("Traffic 30 d", hourly(USED + ":increase30d"), unit="bytes"),
            hide=["status"],
            sort="Used",
            descending=True,
        ),
        chart(
            "Traffic",
            "Traffic of the users of the 20 admins with most in the time that is shown. Needs the recording rules.",
            (10, 10),
            "bps",
            line(f"8 * {leading(USED + ':rate5m', 20)}", "{{admin}} {{target}} {{cluster}}"),
            stacked=True,
        ),
    ],
    time="now-24h",
)
