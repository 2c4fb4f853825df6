"""Loads a daemon with notifications and checks what delivery promises. Needs Python 3.11, cc and nginx.

delivery_load.py SCENARIO [--OPTION=N …]

Runs a release build with a panel and receivers on loopback, prints figures, and exits with 1 if a promise is broken.
The program is $PROXYMETER, by default target/release/proxymeter. A list of scenarios and their options: --help. The
defaults are the full numbers. With KEEP=1 the daemon's folder and log are kept.
"""

import argparse
import inspect
import multiprocessing
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from delivery_lab import HIGH, LOW, Daemon, Mail, Panel, Report, Server, Webhook, delays, until

PROGRAM = os.environ.get("PROXYMETER", "target/release/proxymeter")
TOGETHER = ("target", "alertname")
BY_USER = (*TOGETHER, "subject")
DEAD = ("refusing", "hanging", "503")


def isolation(work, report, users=2000, minutes=10.0, fsync_ms=20, dead=10, by_user=0):
    """One healthy webhook beside dead ones: each change of a user is notified within 6 s, in 100 MB.

    With `by_user`, each change is a message of its own.
    """
    panel, healthy = Panel(users), Webhook("healthy")
    others = [Webhook(f"dead{number}", DEAD[number % len(DEAD)]) for number in range(dead)]
    group_by = BY_USER if by_user else TOGETHER
    daemon = Daemon(PROGRAM, work, panel, [healthy, *others], group_by=group_by, fsync_ms=fsync_ms)
    change_users(panel, daemon, minutes)
    end = time.time() - 6
    late = delays(panel.changes, healthy.messages, end)
    told = [delay for delay in late if delay != float("inf")]
    report.row("changes of users", len(late))
    report.equal("changes that were notified", len(told), len(late))
    report.row("messages to the healthy webhook", len(healthy.messages))
    if told:
        report.row("time to a notification, median", statistics.median(told), "s")
    report.at_most("time to a notification, longest", max(late, default=None), 6, "s")
    report.memory(daemon, most=100)
    report.queues(daemon)
    report.stop(daemon)


def soak(work, report, users=2000, minutes=30.0, warm_up=2.0):
    """20 receivers of mixed manners: memory, store and descriptors stay the same."""
    manners = ["healthy", "healthy", "slow", "slow", "hanging", "hanging", "refusing", "refusing", "503", "503"]
    manners += ["401", "404", "413", "limited", "page", "garbage", "429"]
    receivers = [Webhook(f"hook{number}-{manner}", manner) for number, manner in enumerate(manners)]
    receivers += [Mail(f"mail-{manner}", manner) for manner in ("healthy", "refused", "large")]
    panel = Panel(users)
    daemon = Daemon(PROGRAM, work, panel, receivers)
    change_users(panel, daemon, minutes)
    end = time.time() - 6
    for receiver in receivers:
        report.row(f"messages taken and attempts, {receiver.name}", len(receiver.messages), receiver.seen)
    late = delays(panel.changes, receivers[0].messages, end)
    report.row("changes of users", len(late))
    report.at_most("time to a notification of a healthy webhook, longest", max(late, default=None), 30, "s")
    report.thirds(daemon, warm_up=60 * warm_up)
    report.memory(daemon)
    report.queues(daemon)
    report.stop(daemon)


def crowd(work, report, receivers=200, users=2000, within=300, rest=120, most=256, left=64):
    """Many receivers and alerts: memory is bounded and comes back."""
    panel = Panel(users)
    hooks = [Webhook(f"hook{number}") for number in range(receivers)]
    daemon = Daemon(PROGRAM, work, panel, hooks)
    quiet = quiet_memory(panel, daemon, report)
    for what, used, fires in (("firing", HIGH, True), ("resolved", LOW, False)):
        panel.set(used)
        took = until(lambda: all(len(hook.users(fires)) == users for hook in hooks), within)
        report.at_most(f"{what}: time until all receivers have all alerts", took, within, "s")
        report.row(f"{what}: messages", sum(len(hook.messages) for hook in hooks))
        report.row(f"{what}: memory at once", daemon.rss(), "MB")
        time.sleep(rest)
        report.at_most(f"{what}: memory after {rest} s more", daemon.rss(), quiet + left, "MB")
    report.memory(daemon, most=most)
    report.queues(daemon)
    report.stop(daemon)


def flap(work, report, users=10_000, polls=100, group_interval=30, most=64):
    """Everyone changes with each poll, beside a dead receiver: memory grows by no more than 64 MB."""
    panel, hook = Panel(users), Webhook("hook")
    daemon = Daemon(PROGRAM, work, panel, [hook, Webhook("dead", "refusing")], group_interval=f"{group_interval}s")
    quiet = quiet_memory(panel, daemon, report)
    daemon.reset_peak()
    begin = panel.walks
    panel.before_walk = lambda walks: panel.set(HIGH if (walks - begin) % 2 else LOW)
    first = until(lambda: hook.messages, 60)
    report.at_most("time to the first message", first, 60, "s")
    report.row("peak memory until then, over the quiet state", daemon.peak() - quiet, "MB")
    took = until(lambda: panel.walks >= begin + polls, polls * 30)
    report.at_most(f"time of {polls} polls", took, polls * 30, "s")
    report.row("messages", len(hook.messages))
    panel.before_walk = lambda walks: None
    report.at_most("peak memory over the quiet state", daemon.peak() - quiet, most, "MB")
    report.row("memory over the quiet state now", daemon.rss() - quiet, "MB")
    time.sleep(60)
    report.row("memory over the quiet state after 60 s of rest", daemon.rss() - quiet, "MB")
    report.row("largest size of the store", max(sample.store for sample in daemon.samples), "MB")
    report.stop(daemon)


def one_round(work, report, users=50_000, lead=60, within=1800):
    """Users who expire at the same moment, one notification for each: all arrive, each once."""
    expiry = time.time() + lead
    panel, hook = Panel(users, expire=expiry), Webhook("hook")
    daemon = Daemon(PROGRAM, work, panel, [hook], group_by=BY_USER, users_interval="20s")
    if until(lambda: panel.walks >= 2, lead) is None:
        report.broken.append("the users were not read before they expired")
    report.row("memory before", daemon.rss(), "MB")
    time.sleep(max(0, expiry - time.time()))
    slowest, shown = 0.0, 0
    while time.time() < expiry + within and len(hook.messages) < users:
        if time.time() > expiry + shown:
            slowest = max(slowest, scrape_time(daemon))
            report.row(f"messages after {shown} s", len(hook.messages), f"{daemon.rss():.0f} MB")
            shown = max(5, shown * 2)
        time.sleep(0.5)
    took = hook.messages[-1].at - expiry if len(hook.messages) >= users else None
    report.at_most("time until all were delivered", took, within, "s")
    time.sleep(10)
    report.equal("users notified", len(hook.users()), users)
    report.equal("messages", len(hook.messages), users)
    report.equal("ids of messages", len({message.id for message in hook.messages}), users)
    report.memory(daemon)
    report.row("slowest scrape", slowest, "s")
    report.queues(daemon)
    report.stop(daemon)


def slow_disk(work, report, notifications=10, fsync_ms=3000, within=15):
    """Ten notifications of one moment on a disk with 3 s per fsync: they are written down and settled together."""
    panel, hook = Panel(notifications), Webhook("hook")
    daemon = Daemon(PROGRAM, work, panel, [hook], group_by=BY_USER, fsync_ms=fsync_ms)
    until(lambda: panel.walks >= 2, 120)
    time.sleep(15)  # What the first polls write down.
    panel.set(HIGH)
    took = until(lambda: len(hook.users()) == notifications, 120)
    crossed = panel.changes[0].at if panel.changes else time.time()
    if hook.messages:
        report.row("time to the first notification", hook.messages[0].at - crossed, "s")
    last = hook.messages[-1].at - crossed if took is not None else None
    report.at_most("time to the last notification", last, within, "s")
    report.equal("messages", len(hook.messages), notifications)
    report.row("time to stop", daemon.stop(), "s")


def stop(work, report, users=10_000, fsync_ms=20, after=10.0):
    """Stopped with a backlog, the daemon exits within 5 s."""
    receivers = [Webhook(f"hook-{manner}", manner) for manner in ("healthy", "slow", *DEAD)]
    panel = Panel(users)
    daemon = Daemon(PROGRAM, work, panel, receivers, group_by=BY_USER, fsync_ms=fsync_ms)
    quiet_memory(panel, daemon, report)
    panel.set(HIGH)
    until(lambda: panel.changes, 60)
    time.sleep(after)
    report.queues(daemon)
    report.stop(daemon)
    report.row("users notified before", len(receivers[0].users()))
    # What was not delivered is delivered after the next start.
    daemon.start()
    took = until(lambda: len(receivers[0].users()) == users, 1800)
    report.at_most("time until the healthy webhook has all", took, 1800, "s")
    report.stop(daemon)


def stall(work, report, users=20_000, receivers=5, seconds=60, most=1.0):
    """The metrics page is scraped every 100 ms while large messages are made."""
    panel = Panel(users)
    daemon = Daemon(PROGRAM, work, panel, [Webhook(f"hook{number}", "unread") for number in range(receivers)])
    quiet_memory(panel, daemon, report)
    ours, theirs = multiprocessing.Pipe()
    # In a process of its own, because the receivers read large messages here.
    scraper = multiprocessing.get_context("fork").Process(target=scrape_on, args=(daemon, seconds, theirs), daemon=True)
    scraper.start()
    begin = panel.walks
    panel.before_walk = lambda walks: panel.set(HIGH if (walks - begin) // 2 % 2 == 0 else LOW)
    times = ours.recv()
    report.row("scrapes", len(times))
    report.row("messages", sum(len(receiver.messages) for receiver in daemon.receivers))
    report.row("time of a scrape, median", statistics.median(times), "s")
    report.row("time of a scrape, 99th percentile", sorted(times)[len(times) * 99 // 100], "s")
    report.at_most("time of a scrape, longest", max(times), most, "s")
    report.memory(daemon)
    report.stop(daemon)


def short_lives(work, report, users=10, lives=6, life=25, group_wait=30):
    """Killed before `group_wait` has passed, again and again: an alert is notified all the same."""
    panel, hook = Panel(users), Webhook("hook")
    panel.set(HIGH)
    daemon = Daemon(PROGRAM, work, panel, [hook], group_wait=f"{group_wait}s")
    began = time.time()
    for lived in range(1, lives + 1):
        time.sleep(life)
        daemon.stop(signal.SIGKILL)
        if hook.messages:
            break
        daemon.start()
    report.at_most("lives until a notification", lived if hook.messages else None, 3, "")
    report.row("time to it", hook.messages[0].at - began if hook.messages else "none", "s")
    daemon.stop(signal.SIGKILL)


def nginx(work, report, users=10_000, within=300, rest=30):
    """Alerts that are too large together for nginx's body limit arrive whole, each once."""
    panel, hook = Panel(users), Webhook("hook")
    with through_nginx(work, hook):
        daemon = Daemon(PROGRAM, work, panel, [hook], group_wait="15s")
        quiet_memory(panel, daemon, report)
        panel.set(HIGH)
        took = until(lambda: len(hook.users()) == users, within)
        report.at_most("time until all alerts arrived", took, within, "s")
        time.sleep(rest)
        arrived = [user for message in hook.messages for user, fires, _ in message.alerts if fires]
        report.equal("alerts that arrived", len(set(arrived)), users)
        report.equal("copies of alerts", len(arrived) - len(set(arrived)), 0)
        report.row("messages accepted", len(hook.messages))
        report.row("alerts of each", ",".join(str(len(message.alerts)) for message in hook.messages[:12]) or "none")
        report.queues(daemon)
        report.memory(daemon)
        report.stop(daemon)


class through_nginx:
    """Puts an nginx with its default body limit in front of a webhook."""

    CONFIG = """
daemon off;
pid {work}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work};
    scgi_temp_path {work};
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}
}}
"""

    def __init__(self, work, hook):
        free = Server(lambda reading, writing: None)
        free.shutdown()
        free.server_close()
        conf = work / "nginx.conf"
        text = self.CONFIG.format(work=work, port=free.port, behind=hook.port)
        conf.write_text(("user root;" if os.getuid() == 0 else "") + text)
        self.command = [shutil.which("nginx", path=os.defpath + ":/usr/sbin"), "-e", "stderr", "-p", work, "-c", conf]
        hook.config = hook.config.replace(f":{hook.port}/", f":{free.port}/")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def change_users(panel, daemon, minutes):
    """Changes the next 2 % of the users every 2 s. Each user changes every 100 s."""
    until(lambda: panel.walks >= 2, 60)
    share = max(1, len(panel.users) // 50)
    end, place = time.time() + 60 * minutes, 0
    while time.time() < end and daemon.process.poll() is None:
        panel.toggle((place + number) % len(panel.users) for number in range(share))
        place += share
        time.sleep(2)


def quiet_memory(panel, daemon, report):
    """The daemon's memory with the users read, and without alerts."""
    until(lambda: panel.walks >= 3, 120)
    time.sleep(2)
    report.row("memory without alerts", daemon.rss(), "MB")
    return daemon.rss()


def scrape_time(daemon):
    try:
        return daemon.scrape()[1]
    except OSError:
        return 60.0


def scrape_on(daemon, seconds, results):
    end, times = time.time() + seconds, []
    while time.time() < end:
        times.append(scrape_time(daemon))
        time.sleep(max(0.0, 0.1 - times[-1]))
    results.send(times)


SCENARIOS = {
    "isolation": isolation, "soak": soak, "crowd": crowd, "flap": flap, "round": one_round, "slow_disk": slow_disk,
    "stop": stop, "stall": stall, "short_lives": short_lives, "nginx": nginx,
}


def main():
    parser = argparse.ArgumentParser(description="Loads a daemon with notifications and checks what delivery promises.")
    commands = parser.add_subparsers(dest="scenario", required=True)
    for name, scenario in SCENARIOS.items():
        with_defaults = argparse.ArgumentDefaultsHelpFormatter
        command = commands.add_parser(name, help=scenario.__doc__.splitlines()[0], formatter_class=with_defaults)
        for option in list(inspect.signature(scenario).parameters.values())[2:]:
            command.add_argument(f"--{option.name}", type=type(option.default), default=option.default, help=" ")
    options = vars(parser.parse_args())
    name = options.pop("scenario")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that the daemon ends, too.
    work, report = pathlib.Path(tempfile.mkdtemp()), Report()
    print(f"== {name} {options} of {PROGRAM}")
    report.load()
    try:
        SCENARIOS[name](work, report, **options)
    finally:
        for daemon in Daemon.running:
            daemon.process.kill()
            daemon.process.wait()
        if os.environ.get("KEEP"):
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    report.load()
    for what in report.broken:
        print(f"BROKEN: {what}", file=sys.stderr)
    sys.exit(bool(report.broken))


main()
