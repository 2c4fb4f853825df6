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
users_interval = "{interval}"
load = "100%"
[storage]
path = "{storage}"
[alerting]
enabled = false
{targets}
"""
PROMETHEUS = """
global: {{ scrape_interval: {interval}, scrape_timeout: {interval} }}
scrape_configs:
  - job_name: proxymeter
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""
ROUNDS, SCRAPES = 4, 5


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
        config = folder / f"{name}.toml"
        text = EXPORTER.format(port=port, storage=folder / name, targets="\n".join(names), interval="15s")
        config.write_text(text, encoding="utf-8")
        super().__init__(folder, name, [program, f"--config.file={config}"], f"http://127.0.0.1:{port}")

    def text(self):
        return gzip.decompress(scrape(self.address)).decode()

    def walks(self):
        found = re.findall(r'^proxymeter_target_polls_total\{.*part="users".*\} (\d+)$', self.text(), re.M)
        return [int(each) for each in found]

    def measure(self):
        """CPU of a poll and of a scrape, memory, bytes and series, each for the whole shard."""
        self.start()
        walked = lambda times: len(walks := self.walks()) == self.targets and min(walks) >= times
        until(300, f"{self.name} has read all users", lambda: walked(2))
        before, used, began = sum(self.walks()), cpu(self), min(self.walks())
        until(600, f"{self.name} has read them again", lambda: time.sleep(5) or walked(began + ROUNDS))
        used, polls = cpu(self) - used, (sum(self.walks()) - before) / self.targets
        return {"poll": used / polls, "gzip": len(scrape(self.address)), "series": series(self.text()), **self.memory()}

    def memory(self):
        return {"peak": memory(self, "VmHWM"), "rss": memory(self, "VmRSS")}


def series(text):
    return sum(1 for line in text.splitlines() if line and line[0] != "#")


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
            ("poll", "CPU of a poll with its user list, ms", 1e-3),
            ("gzip", "a scrape with gzip, kB", 1e3),
            ("series", "series", 1),
        ):
            print(row(what, f"{each[key] / scale:.2f}", f"{(one[key] - each[key]) / scale:.2f}"), flush=True)
        thousand = 1000 / users
        print(f"for 1,000 users: {each['rss'] / 1e6 * thousand:.2f} MB, {each['poll'] * 1e3 * thousand:.1f} ms a poll")
        print(f"for a user: {each['gzip'] / users:.0f} bytes with gzip, {each['series'] / users:.2f} series")

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
