"""Large and unkind panels, memory, and alerts."""

import itertools
import os
import re
import socket
import subprocess
import threading
import time

from delivery_lab import Mail, Webhook

from .cliproxy import Usage
from .lab import Lab, Mirror
from .marzban import Marzban
from .polls import SIZES, SYSTEMS
from .process import until
from .table import Table, median, quantile
from .xui import Xui, XuiOfText


def memory(work, quick):
    """Memory of the program without environment variables, polled every 5 s and scraped plain and with gzip"""
    table = Table("memory", memory.__doc__)
    cases = [(Marzban, 100_000)]
    if not quick:
        cases = [(Marzban, size) for size in SIZES]
        cases += [(Xui, 100_000), (XuiOfText, 100_000), (Usage, 100_000), (Usage, 1_000_000)]
    for system, size in cases:
        with Lab(work, system(size)) as lab:
            lab.wait_for_walks(1)
            scrape_for(lab, 15 if quick else 25)
            most = 110 if (system, size) == (Marzban, 100_000) else None
            what = SYSTEMS[system].format(size)
            table.add(f"{what}: peak (VmHWM)", lab.daemon.memory("VmHWM"), "MB", most=most)
            table.add("… at the end (VmRSS)", lab.daemon.memory("VmRSS"), "MB")
    return table


def scrape_for(lab, seconds):
    end = time.monotonic() + seconds
    clients = [lab.client(form=form) for form in ("plain", "gzip")]
    while time.monotonic() < end:
        for client in clients:
            client.get()
        time.sleep(1)
    for client in clients:
        client.close()


def metric(page, name):
    """The sum of a metric's values."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.M))


def storm(work, quick):
    """Memory when 14,000 alerts of 50,000 users begin to fire, with a webhook, a mail and scrapes"""
    table = Table("storm", storm.__doc__)
    hook, mail = Webhook("hook", "unread"), Mail("ops")
    config = hook.config + mail.config + '[alerting]\ngroup_wait = "5s"\n'
    with Lab(work, Marzban(50_000, firing=28), config=config) as lab:
        lab.wait_for_walks(1)
        scrape_for(lab, 10)
        until(lambda: hook.messages and mail.messages, 120, "both receivers are notified")
        scrape_for(lab, 10)
        firing = len(re.findall("^proxymeter_alert_firing{", lab.page().decode(), re.M))
        table.add("alerts that fire", firing, least=14_000)
        table.add("messages to the webhook", len(hook.messages), least=1)
        table.add("mails", len(mail.messages), least=1)
        table.add("peak memory (VmHWM)", lab.daemon.memory("VmHWM"), "MB", most=90)
        scrape_for(lab, 5 if quick else 60)
        table.add("memory a minute later (VmRSS)", lab.daemon.memory("VmRSS"), "MB")
    return table


def million(work, quick):
    """A million users on ten targets, polled every 60 s"""
    table = Table("million", million.__doc__)
    users = 10_000 if quick else 100_000
    with Lab(work, Marzban(users), targets=10, interval="60s") as lab:
        began = time.monotonic()
        lab.wait_for_walks(1)
        table.add("until all have been read, the panel's files included", time.monotonic() - began, "s")
        costs = [lab.cost_of_polls().time * 10 for _ in range(1 if quick else 2)]
        table.add("processor time of polling all ten", median(costs), "s")
        table.add("memory, not scraped yet (VmRSS)", lab.daemon.memory("VmRSS"), "MB")
        table.add("peak memory, not scraped yet (VmHWM)", lab.daemon.memory("VmHWM"), "MB")
        with Mirror(lab) as mirror:
            page = lab.page()
            table.add("series of users", page.count(b"\nproxymeter_user_"))
            table.add("page", len(page) / 2**20, "MB")
            del page
            for form in ("plain", "gzip"):
                ours, nginx = lab.client(form=form), mirror.client(form=form)
                times = [(ours.get()[0], nginx.get()[0]) for _ in range(4 if quick else 12)][1:]
                table.add(f"scrape, {form}: median", median([a for a, _ in times]), "s", median([b for _, b in times]))
                ours.close()
                nginx.close()
        scrape_for(lab, 10 if quick else 70)
        table.add("memory (VmRSS)", lab.daemon.memory("VmRSS"), "MB")
        table.add("peak memory (VmHWM)", lab.daemon.memory("VmHWM"), "MB")
    return table


class Unkind:
    """A server that takes connections and sends nothing, or, if it drips, an answer at a byte a second."""

    def __init__(self, drips):
        self.drips = drips
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        try:
            client.recv(65536)
            if not self.drips:
                time.sleep(300)
            for byte in b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"' + b"a" * 998:
                client.sendall(bytes([byte]))
                time.sleep(1)
        except OSError:
            pass  # The daemon gave up.
        finally:
            client.close()


def outage(work, quick):
    """100 targets of 100 users, polled every 10 s, of which one hangs and one sends a byte a second"""
    table = Table("outage", outage.__doc__)
    unkind = {name: Unkind(name == "drips") for name in ("hangs", "drips")}
    population = Marzban(100)
    config = "".join(population.config(name, f"http://127.0.0.1:{server.port}") for name, server in unkind.items())
    with Lab(work, population, targets=98, interval="10s", config=config) as lab:
        lab.wait_for_walks(2)
        lab.look()
        began = time.time()
        times, reference = [], []
        with Mirror(lab) as mirror:
            ours, nginx = lab.client(form="gzip"), mirror.client(form="gzip")
            while time.time() < began + (20 if quick else 60):
                times.append(ours.get()[0] * 1000)
                reference.append(nginx.get()[0] * 1000)
                time.sleep(0.1)
            ours.close()
            nginx.close()
        lab.look()
        polls = {f"t{number}": [] for number in range(lab.targets)}
        for request in lab.seen:
            if request.path.endswith("/api/system"):
                polls[request.target].append(request.at)
        # Up to now, too: a target may no longer be polled at all.
        pairs = [pair for polled in polls.values() for pair in itertools.pairwise([*polled, time.time()])]
        gaps = [later - earlier for earlier, later in pairs if later > began]
        page = lab.page().decode()
        up = len(re.findall(r'^proxymeter_up\{target="t\d+".*\} 1$', page, re.M))
        table.add("targets that are up", up, most=98, least=98)
        table.add("time between two polls of a target, longest", max(gaps), "s", most=15)
        table.add("… median", median(gaps), "s")
        table.add("scrape while that goes on, gzip: median", median(times), "ms", median(reference))
        table.add("… 99 of 100 within", quantile(times, 0.99), "ms", quantile(reference, 0.99))
        table.add("… longest (the target is of the time)", max(times), "ms", max(reference), most=50, of_ratio=False)
    return table


def alerts(work, quick):
    """Evaluating the alerts of 100,000 users, of whom 21,000 have one that fires: cargo bench --bench micro round"""
    table = Table("alerts", alerts.__doc__)
    command = ["cargo", "bench", "--locked", "--bench", "micro", "round"]
    # As the program sets it for itself.
    environment = {**os.environ, "MIMALLOC_PURGE_DELAY": "10"}
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    milliseconds = {"ns": 1e-6, "µs": 1e-3, "ms": 1, "s": 1000}
    # Names, and the columns fastest, slowest and median of divan.
    columns = r"^[\s│├╰─]*(\w+) +[\d.]+ \S+ +│ [\d.]+ \S+ +│ ([\d.]+) (\S+)"
    found = {name: float(value) * milliseconds[unit] for name, value, unit in re.findall(columns, output, re.M)}
    table.add("a round in which nothing changes: median", found["round_unchanged"], "ms", most=5)
    table.add("a round in which a hundred alerts change: median", found["round_changed"], "ms")
    return table
