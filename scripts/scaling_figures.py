"""Measures what a shard and a Prometheus need for each user and panel. Run by scaling_figures.sh.

scaling_figures.py PROXYMETER PROMETHEUS FOLDER TARGETS USERS
"""

import gzip
import os
import pathlib
import re
import sys
import time
import urllib.request

from alertmanager_lab import Process, free_port, get, panels, until

EXPORTER = """
[web]
listen = "127.0.0.1:{port}"
[poll]
interval = "{interval}"
users_interval = "{users_interval}"
load = "100%"
[storage]
path = "{storage}"
{targets}
"""
PROMETHEUS = """
global: {{ scrape_interval: {interval}, scrape_timeout: {interval} }}
scrape_configs:
  - job_name: proxymeter
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""
# Seconds between polls, and how many of them are measured.
INTERVAL, ROUNDS = 15, 5


def cpu(process):
    """Seconds of CPU that a process has used."""
    fields = pathlib.Path(f"/proc/{process.running.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process, key):
    """In bytes."""
    status = pathlib.Path(f"/proc/{process.running.pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M)[1]) * 1024


def scrape(address):
    request = urllib.request.Request(f"{address}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


class Shard(Process):
    """A shard that polls one panel under several names."""

    def __init__(self, folder, program, panel, targets):
        self.targets, name, port = targets, f"{targets}-targets", free_port()
        table = re.sub(r"node_traffic_of = .+\n", "", panel)
        names = [re.sub(r"^\[(\w+)\.\w+\]", rf"[\1.panel-{number}]", table) for number in range(targets)]
        config, targets = folder / f"{name}.toml", "\n".join(names)

        def configure(users_interval):
            text = EXPORTER.format(
                port=port,
                storage=folder / name,
                interval=f"{INTERVAL}s",
                users_interval=users_interval,
                targets=targets,
            )
            config.write_text(text, encoding="utf-8")

        self.configure = configure
        configure(f"{INTERVAL}s")
        super().__init__(folder, name, [program, f"--config.file={config}"], f"http://127.0.0.1:{port}")

    def text(self):
        return gzip.decompress(scrape(self.address)).decode()

    def polls(self, part="users"):
        """The number of polls of each target."""
        found = re.findall(rf'^proxymeter_target_polls_total\{{.*part="{part}".*\}} (\d+)$', self.text(), re.M)
        return [int(each) for each in found]

    def measure(self):
        """CPU of a poll and of a scrape, memory, bytes and series, each for the whole shard."""
        self.start()
        until(300, f"{self.name} has read all users", lambda: len(polls := self.polls()) == self.targets and min(polls) > 1)
        found = {"walk": self.cpu_of_a_poll("users")}
        found |= {"peak": memory(self, "VmHWM"), "rss": memory(self, "VmRSS"), "gzip": len(scrape(self.address))}
        found["series"] = sum(1 for line in self.text().splitlines() if line and line[0] != "#")
        self.configure("1h")
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/-/reload", method="POST"), timeout=10).close()
        time.sleep(INTERVAL)
        return found | {"poll": self.cpu_of_a_poll("system")}

    def cpu_of_a_poll(self, part):
        """Of all targets, between two scrapes."""
        before, used = sum(self.polls(part)), cpu(self)
        time.sleep(ROUNDS * INTERVAL)
        used = cpu(self) - used
        return used / (sum(self.polls(part)) - before) * self.targets


def main(proxymeter, prometheus, folder, targets, users):
    folder, targets, users = pathlib.Path(folder), int(targets), int(users)
    panel, _ = panels((folder / "demo.toml").read_text(encoding="utf-8"))["home"]
    try:
        small = Shard(folder, proxymeter, panel, 1)
        one = small.measure()
        small.end(15)
        shard = Shard(folder, proxymeter, panel, targets)
        many = shard.measure()
        each = {key: (many[key] - one[key]) / (targets - 1) for key in many}
        print(f"{targets} targets of {users} users; what one of them takes, and what a shard takes without any:")
        row = "{:44} {:>10} {:>10}".format
        print(row("", "target", "shard"))
        for key, what, scale in (
            ("rss", "memory (VmRSS), MB", 1e6),
            ("peak", "peak memory (VmHWM), MB", 1e6),
            ("walk", "CPU of a poll with its user list, ms", 1e-3),
            ("poll", "CPU of a poll without it, ms", 1e-3),
            ("gzip", "a scrape with gzip, kB", 1e3),
            ("series", "series", 1),
        ):
            print(row(what, f"{each[key] / scale:.2f}", f"{(one[key] - each[key]) / scale:.2f}"), flush=True)
        print(f"for a user: {each['gzip'] / users:.0f} bytes of a scrape with gzip, {each['series'] / users:.2f} series")

        port, config = free_port(), folder / "prometheus.yml"
        config.write_text(PROMETHEUS.format(port=shard.address.rpartition(":")[2], interval="5s"), encoding="utf-8")
        command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn"]
        server = Process(folder, "prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], f"http://127.0.0.1:{port}")
        server.start()

        def value(name):
            found = re.search(rf"^{name}(?:{{type=.float.}})? (\S+)$", get(f"{server.address}/metrics"), re.M)
            return float(found[1]) if found else 0

        appended = "prometheus_tsdb_head_samples_appended_total"
        until(60, "Prometheus is ready", lambda: value(appended) >= 0)
        empty = memory(server, "VmRSS")
        until(120, "Prometheus has the series", lambda: value(appended) > many["series"])
        ours, used, samples = cpu(shard), cpu(server), value(appended)
        time.sleep(90)
        used, samples = cpu(server) - used, value(appended) - samples
        held = value("prometheus_tsdb_head_series")
        full = memory(server, "VmHWM") - empty
        print(f"Prometheus: {held:.0f} series, {full / held:.0f} bytes each at the peak, {used / samples * 1e6:.1f} µs of CPU a sample")
        print(f"the shard meanwhile: {cpu(shard) - ours:.1f} s of CPU in 90 s, polls included")
    finally:
        Process.end_all()


main(*sys.argv[1:])
