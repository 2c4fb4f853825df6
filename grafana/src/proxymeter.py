from layout import *
from panels import *
from queries import *

WHICH = "{{instance}}"
STEP = (label("alertname", "Alert"), label("rule"), label("step"), label("severity", mappings=SEVERITY))
PARTS = "{{target}} {{part}} {{cluster}}"


def failures(window):
    return over("increase", "target_poll_failures", window=window)


def abandoned(window):
    return f"increase({own('notifications_abandoned_total')}{window})"


def delivery(share):
    buckets = own("notification_duration_seconds_bucket")
    return f"histogram_quantile({share}, sum by (receiver, le) (rate({buckets}[$__rate_interval])))"


def whether(title, description, metric):
    return stat(
        title,
        description,
        own(metric),
        mappings=words({0: ("FAILED", "red"), 1: ("OK", "green")}),
        thresholds=steps("red", green=1),
        legend=WHICH,
    )


def since(metric):
    return f"1000 * {own(metric + '_timestamp_seconds')}"


DASHBOARD = dashboard(
    "proxymeter-self",
    "proxymeter / Exporter",
    "proxymeter itself: reading of targets, delivery of notifications, storage, configuration, HTTP.",
    EVERYWHERE,
    [
        *stats(
            whether(
                "Configuration",
                "Whether the last load of the configuration succeeded.",
                "config_last_reload_successful",
            ),
            whether(
                "Database",
                "Whether the database takes every change within 10 seconds. If not, the exporter continues from memory.",
                "store_up",
            ),
            stat(
                "Stale",
                "Parts of targets that were not read for three of their rounds.",
                total("target_part_stale"),
                thresholds=BAD,
            ),
            stat(
                "Failed reads",
                "Failed reads of targets in ten minutes.",
                while_running(f"sum({failures('[10m]')})"),
                thresholds=DOUBTFUL,
            ),
            stat(
                "Waiting",
                "Notifications that wait for delivery.",
                f"sum({own('notification_queue_length')})",
                thresholds=steps("green", yellow=1, red=50),
            ),
            stat(
                "Given up",
                "Notifications that were given up in 24 hours.",
                while_running(f"sum({abandoned('[1d]')})"),
                thresholds=BAD,
            ),
            stat(
                "Memory",
                "Resident memory of each exporter.",
                process("process_resident_memory_bytes"),
                unit="bytes",
                legend=WHICH,
            ),
        ),
        chart(
            "Age",
            "Time since the last complete read of each part of each target.",
            (12, 9),
            "s",
            line(age(), PARTS),
            calcs=["lastNotNull"],
            min=0,
        ),
        chart(
            "Duration of reads",
            "How long the last complete read of each part took. Users of large panels are read slowly by design.",
            (12, 9),
            "s",
            line(latest("target_part_poll_duration_seconds"), PARTS),
            calcs=["lastNotNull"],
            min=0,
        ),
        chart(
            "Failed reads",
            "Reads of targets that failed, in all and by reason.",
            (12, 8),
            "cps",
            line(f"sum without (part, reason) ({rate('target_poll_failures')})"),
            line(f"{rate('target_poll_failures')} > 0", f"{PARTS} {{{{reason}}}}", dashed=True),
            min=0,
        ),
        chart(
            "Notifications",
            "Delivered notifications by receiver, and failed attempts by reason.",
            (12, 8),
            "cps",
            line(f"sum by (receiver) ({own_rate('notifications')})", "{{receiver}} delivered"),
            line(f"sum by (receiver, reason) ({own_rate('notification_failures')}) > 0", "{{receiver}} {{reason}}"),
            min=0,
        ),
        table(
            "Receivers",
            "Whether each receiver gets its notifications. Oldest: since when the oldest one waits.",
            (12, 8),
            label("receiver"),
            label("instance"),
            value("Waiting", own("notification_queue_length"), thresholds=steps("green", yellow=1, red=50)),
            value("Oldest", since("notification_oldest_pending"), unit="dateTimeFromNow"),
            value("Last delivery", since("notification_last_success"), unit="dateTimeFromNow"),
            sort="Receiver",
        ),
        chart(
            "Alerts by state",
            "Alerts of proxymeter: the condition does not hold long enough yet (pending), firing, or covered by"
            " another alert (suppressed).",
            (12, 8),
            "short",
            line(f"sum by (state) (max without (instance) ({own('alerts')}))", "{{state}}"),
            min=0,
        ),
    ],
    [
        row(
            "Reading of targets",
            table(
                "Parts",
                "Refused: the account may not read the part, which is no failure unless it could before (right "
                "lost). Left out: rows beyond the cap, doubled or without identity.",
                (14, 9),
                label("target"),
                label("part"),
                value(
                    "Last read",
                    latest("target_part_up"),
                    mappings=words({0: ("failed", "red"), 1: ("succeeded", "green")}),
                ),
                value(
                    "Refused", latest("target_part_refused"), mappings=words({0: ("no", "text"), 1: ("yes", "orange")})
                ),
                value(
                    "Right lost",
                    latest("target_part_right_lost"),
                    mappings=words({0: ("no", "text"), 1: ("yes", "red")}),
                ),
                value("Stale", latest("target_part_stale"), mappings=words({0: ("no", "text"), 1: ("yes", "red")})),
                value("Left out", latest("target_rows_omitted"), thresholds=DOUBTFUL),
                value(
                    "Unreadable fields",
                    while_running(over("increase", "target_fields_unreadable", window="[1d]")),
                    thresholds=DOUBTFUL,
                    decimals=0,
                ),
                sort="Target",
            ),
            table(
                "User lists",
                "Counted: rows by the panel's own count, only if it differs from what was read. Unreadable: "
                "counted, but not returned in a readable form.",
                (10, 9),
                label("target"),
                value("Users", f"sum without (status) ({latest('users')})"),
                value("Counted", latest("target_users_counted"), thresholds=steps("yellow")),
                value("Unreadable", latest("target_users_unreadable"), thresholds=DOUBTFUL),
                value("Without series", latest("target_users_omitted"), thresholds=BAD),
                sort="Target",
            ),
            chart(
                "Requests to targets",
                "HTTP requests to each target, logins included.",
                (6, 8),
                "reqps",
                line(rate("target_requests")),
                min=0,
            ),
            chart(
                "Reads",
                "Completed reads of each target, successful or not.",
                (6, 8),
                "cps",
                line(f"sum without (part) ({rate('target_polls')})"),
                min=0,
            ),
            chart(
                "Logins",
                "Logins tried at each target in an hour. A login that fails is repeated less and less often.",
                (6, 8),
                "short",
                line(over("increase", "target_logins", window="[1h]")),
                min=0,
            ),
            chart(
                "Walks",
                "How far each walk through a list of users is. No line: between two walks, and for lists that come in one"
                " answer.",
                (6, 8),
                "percentunit",
                line(f"{latest('target_walk_users')} / {latest('target_walk_size')}"),
                min=0,
                max=1,
            ),
        ),
        row(
            "Delivery",
            chart(
                "Duration of attempts",
                "Half and 95 percent of the attempts to send a notification took at most this long.",
                (6, 8),
                "s",
                line(delivery(0.5), "{{receiver}} p50"),
                line(delivery(0.95), "{{receiver}} p95"),
                min=0,
            ),
            chart(
                "Attempts and suppressed notifications",
                "Attempts to send by receiver, and notifications that were not sent by reason.",
                (6, 8),
                "cps",
                line(f"sum by (receiver) ({own_rate('notification_attempts')})", "{{receiver}}"),
                line(f"sum by (reason) ({own_rate('notifications_suppressed')})", "not sent: {{reason}}", dashed=True),
                min=0,
            ),
            chart(
                "Heartbeat",
                "Pings of the dead man's switch, failed ones by reason, and ones that were withheld because the"
                " daemon is stuck or cannot deliver.",
                (6, 8),
                "cps",
                line(own_rate("heartbeat_attempts"), f"{WHICH} attempts"),
                line(
                    f"sum by (instance, reason) ({own_rate('heartbeat_failures')}) > 0",
                    f"{WHICH} failed: {{{{reason}}}}",
                ),
                line(
                    f"sum by (instance, reason) ({own_rate('heartbeats_withheld')}) > 0",
                    f"{WHICH} withheld: {{{{reason}}}}",
                ),
                min=0,
            ),
            chart(
                "Silences",
                "Silences that hold (active), and those that begin later (pending). The status page shows each.",
                (6, 8),
                "short",
                line(own("silences", 'state!="expired"'), f"{WHICH} {{{{state}}}}"),
                min=0,
            ),
        ),
        row(
            "Alert steps in force",
            table(
                "Steps by time",
                "The remaining time at which each step of an alert is crossed.",
                (12, 9),
                *STEP,
                value("Time left", f"max without (instance) ({own('alert_step_threshold_seconds')})", unit="s"),
                sort="Alert",
            ),
            table(
                "Steps by share",
                "The used share at which each step of an alert is crossed.",
                (12, 9),
                *STEP,
                value("Used", f"max without (instance) ({own('alert_step_threshold_ratio')})", unit="percentunit"),
                sort="Alert",
            ),
        ),
        row(
            "HTTP",
            chart(
                "Requests",
                "HTTP requests by path and status code.",
                (8, 8),
                "reqps",
                line(f"sum by (path, code) ({own_rate('http_requests')}) > 0", "{{path}} {{code}}"),
                min=0,
            ),
            chart(
                "Connections",
                "Open connections and requests in progress.",
                (8, 8),
                "short",
                line(own("http_connections"), f"{WHICH} connections"),
                line(own("http_requests_in_flight"), f"{WHICH} requests"),
                min=0,
            ),
            chart(
                "Logins and handshakes",
                "Passwords that were checked against a hash, and TLS handshakes that failed.",
                (8, 8),
                "cps",
                line(own_rate("http_password_checks"), f"{WHICH} passwords"),
                line(own_rate("http_tls_handshake_failures"), f"{WHICH} failed handshakes"),
                min=0,
            ),
            chart(
                "Duration of scrapes",
                "How long a scrape by Prometheus takes.",
                (12, 8),
                "s",
                line(process("scrape_duration_seconds"), WHICH),
                min=0,
            ),
            chart(
                "Samples",
                "Samples that a scrape by Prometheus returns.",
                (12, 8),
                "short",
                line(process("scrape_samples_scraped"), WHICH),
                min=0,
            ),
        ),
        row(
            "Process and storage",
            table(
                "Exporters",
                "Version, start and configuration of each exporter. HTTP files: whether certificates and web "
                "configuration file are usable; if not, the last good ones stay in force.",
                (24, 5),
                label("instance"),
                labels_of(own("build_info")),
                label("version"),
                label("revision"),
                label("os", "OS"),
                label("arch"),
                value("HTTP files", own("web_config_up"), mappings=words({0: ("FAILED", "red"), 1: ("OK", "green")})),
                value("Started", process("process_start_time_seconds", "1000 * {}"), unit="dateTimeFromNow"),
                value("Configuration loaded", since("config_last_reload_success"), unit="dateTimeFromNow"),
                value("Last heartbeat", since("heartbeat_last_success"), unit="dateTimeFromNow"),
                value(
                    "Clock steps in 24 h",
                    while_running(f"increase({own('clock_steps_total')}[1d])"),
                    thresholds=DOUBTFUL,
                    decimals=0,
                ),
                value("Threads", process("process_threads")),
                hide=["rustc", "branch"],
            ),
            chart(
                "CPU",
                "CPU time of each exporter, in cores.",
                (8, 8),
                "short",
                line(process("process_cpu_seconds_total", "rate({}[$__rate_interval])"), WHICH),
                min=0,
            ),
            chart(
                "Memory",
                "Resident memory of each exporter.",
                (8, 8),
                "bytes",
                line(process("process_resident_memory_bytes"), WHICH),
                min=0,
            ),
            chart(
                "Open files",
                "Open file descriptors of each exporter, and how many it may open.",
                (8, 8),
                "short",
                line(process("process_open_fds"), f"{WHICH} open"),
                line(process("process_max_fds"), f"{WHICH} at most", dashed=True, color="red"),
                min=0,
            ),
            chart(
                "Backlog of the database",
                "Changes that wait for the disk. Those that are kept in memory because the database is not writable are "
                "not counted.",
                (8, 8),
                "short",
                line(own("store_backlog_changes"), WHICH),
                min=0,
            ),
            chart(
                "Size of the database",
                "Size of the database and of the history of use on disk.",
                (8, 8),
                "bytes",
                line(own("store_size_bytes"), WHICH),
                line(own("usage_history_size_bytes"), f"{WHICH} history of use", dashed=True),
                min=0,
            ),
            chart(
                "Errors of the database",
                "Reads and writes of the database and of the history of use that failed.",
                (8, 8),
                "cps",
                line(own_rate("store_errors"), WHICH),
                line(own_rate("usage_history_errors"), f"{WHICH} history of use", dashed=True),
                min=0,
            ),
        ),
    ],
)
