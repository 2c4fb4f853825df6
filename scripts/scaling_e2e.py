"""Kills a shard, moves its targets, brings it back, and counts notifications. Run by scaling_e2e.sh.

scaling_e2e.py PROXYMETER PROMETHEUS ALERTMANAGER FOLDER
"""

import hashlib
import json
import math
import pathlib
import re
import shutil
import signal
import sys
import time
import urllib.parse
import urllib.request

from alertmanager_lab import Gate, Hook, Process, cluster_of_two, free_port, get, is_whole, panels, until

# All times are this fraction of the defaults: a scrape every 2 instead of 30 s, `for` of 20 s instead of 5 min.
SCALE = 15
SCRAPE = 30 // SCALE
FOR = 300 // SCALE
# Four times this must be longer than the time in which the targets of a lost shard have no owner, and `for`.
RESEND = 180 // SCALE
# How long the targets of the lost shard have no owner.
LOST = 120 // SCALE
# Longer than what was not posted again takes to resolve, and than the end of a removed target is held back.
LAPSE = 4 * RESEND + 4
# A panel that was down is polled again after two minutes at most.
BACK = 180

# Where the alerts come from: the rules of both Prometheus, the shards, or both of these.
WAYS = ("rules", "shards", "both")

ALERTMANAGER = """
route:
  receiver: none
  group_by: [target, alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - matchers: ['alertname = ProxymeterTargetDown']
      receiver: ops
receivers:
  - name: none
  - name: ops
    webhook_configs:
      - url: http://127.0.0.1:{port}/
        send_resolved: true
"""
EXPORTER = """
[web]
listen = "127.0.0.1:{port}"
[poll]
interval = "5s"
shard = "{shard}"
[storage]
path = "{storage}"
[alert.target_down]
for = "{for_}s"
[alertmanager.shards]
urls = {shards}
resend = "{resend}s"
timeout = "2s"
min_severity = "critical"
[alertmanager.both]
urls = {both}
resend = "{resend}s"
timeout = "2s"
min_severity = "critical"
[webhook.own]
url = "http://127.0.0.1:{own}/"
group_wait = "1s"
group_interval = "2s"
min_severity = "critical"
{targets}
"""
# As packaging/prometheus/both-sources.yml, for two replicas.
PROMETHEUS = """
global:
  scrape_interval: {scrape}s
  scrape_timeout: {scrape}s
  evaluation_interval: {scrape}s
  external_labels: {{ cluster: home, replica: {name} }}
scrape_configs:
  - job_name: proxymeter
    file_sd_configs: [{{ files: [shards.json], refresh_interval: 1s }}]
rule_files: [rules/*.yml]
alerting:
  alert_relabel_configs:
    - {{ regex: replica, action: labeldrop }}
    - &drop
      source_labels: [alertname, target]
      regex: Proxymeter.+;.+
      target_label: job
      replacement: ""
    - {{ <<: *drop, target_label: cluster }}
    - {{ <<: *drop, target_label: system }}
  alertmanagers:
    - static_configs: [{{ targets: {alertmanagers} }}]
"""


def holder(target, count):
    """The shard that polls a target, computed as the documentation says."""
    return max(range(1, count + 1), key=lambda shard: hashlib.sha256(f"{shard}/{target}".encode()).digest())


def scaled(rules):
    """Rules with their minutes and seconds divided by SCALE."""
    unit = {"s": 1, "m": 60}

    def shorter(found):
        return f"{math.ceil(int(found[1]) * unit[found[2]] / SCALE)}s"

    duration = r"\b(\d+)([sm])\b"
    places = rf"\[{duration}(?:{duration})?|(?<=:)\d+[sm]\]|offset {duration}|(?:for|interval): {duration}"
    return re.sub(places, lambda place: re.sub(duration, shorter, place[0]), rules)


class Shard(Process):
    def __init__(self, folder, program, number, fill):
        self.number, self.port, self.fill = number, free_port(), fill
        self.file, self.storage = folder / f"shard-{number}.toml", folder / f"kept-{number}"
        address = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, f"shard-{number}", [program, f"--config.file={self.file}"], address)

    def configure(self, count):
        text = self.fill(shard=f"{self.number}/{count}", port=self.port, storage=self.storage)
        self.file.write_text(text, encoding="utf-8")

    def reload(self):
        urllib.request.urlopen(urllib.request.Request(f"{self.address}/-/reload", method="POST"), timeout=10).close()

    def up(self):
        """Whether each of its targets is up."""
        found = re.findall(r'^proxymeter_up\{.*target="([^"]+)".*\} ([01])$', get(f"{self.address}/metrics"), re.M)
        return {target: value == "1" for target, value in found}


class Server(Process):
    """A Prometheus."""

    def query(self, expression):
        answer = json.loads(get(f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        return answer["data"]["result"]

    def owners(self):
        """The number of instances that show each target now, and the value."""
        return {each["metric"]["target"]: each["value"][1] for each in self.query("count by (target) (proxymeter_up)")}

    def gap(self, metric, target, since):
        """The longest time without a sample of a target since then, whichever shard was asked."""
        series = self.query(f'{metric}{{target="{target}"}}[{math.ceil(time.time() - since)}s]')
        times = sorted(float(at) for each in series for at, _ in each["values"])
        return max(later - earlier for earlier, later in zip(times, times[1:]))


class Told:
    """The notifications of each way, by target, and what each should be."""

    def __init__(self):
        self.hooks = {way: Hook() for way in (*WAYS, "own")}
        self.expected = {way: {} for way in self.hooks}

    def seen(self, way):
        found = {}
        for message in self.hooks[way].messages:
            for alert in message["alerts"]:
                if alert["labels"]["alertname"] == "ProxymeterTargetDown":
                    found.setdefault(alert["labels"]["target"], []).append(alert["status"])
        return found

    def expect(self, status, *targets, ways=None):
        for way in ways or self.hooks:
            for target in targets:
                self.expected[way].setdefault(target, []).append(status)

    def are_all(self):
        return all(self.seen(way) == self.expected[way] for way in self.hooks)

    def hold(self, what):
        wrong = {way: self.seen(way) for way in self.hooks if self.seen(way) != self.expected[way]}
        for way in wrong:
            for message in self.hooks[way].messages:
                for alert in message["alerts"]:
                    del alert["annotations"]
                    print(f"  {way}: {alert}", file=sys.stderr)
        for way, seen in wrong.items():
            print(f"{what}: {way}: {seen} instead of {self.expected[way]}", file=sys.stderr)
        if wrong:
            sys.exit(1)

    def wait(self, seconds, what):
        try:
            until(seconds, what, self.are_all)
        except SystemExit:
            self.hold(what)
            raise
        say(what)


began = time.monotonic()


def say(what):
    print(f"{time.monotonic() - began:4.0f} s  {what}", flush=True)


def main(proxymeter, prometheus, alertmanager, folder):
    folder = pathlib.Path(folder)
    told = Told()
    pairs = {}
    for way in WAYS:
        config = folder / f"{way}.yml"
        config.write_text(ALERTMANAGER.format(port=told.hooks[way].port), encoding="utf-8")
        pairs[way] = cluster_of_two(alertmanager, config, folder, (f"{way}-a", f"{way}-b"))

    # Neither needs a login, which an exporter that was restarted would not try again and again.
    kinds = [panels((folder / "demo.toml").read_text(encoding="utf-8"))[name] for name in ("edge", "office")]
    gates, tables = {}, []
    for number in range(1, 13):
        table, address = kinds[number % len(kinds)]
        name = f"panel-{number}"
        gates[name] = Gate(address)
        table = re.sub(r"^\[(\w+)\.\w+\]", rf"[\1.{name}]", table)
        tables.append(table.replace("%s:%d" % address, f"127.0.0.1:{gates[name].port}"))
    addresses = {way: [each.address for each in pair] for way, pair in pairs.items()}

    def fill(**own):
        return EXPORTER.format(
            for_=FOR,
            resend=RESEND,
            shards=addresses["shards"],
            both=addresses["both"],
            own=told.hooks["own"].port,
            targets="\n".join(tables),
            **own,
        )

    shards = [Shard(folder, proxymeter, number, fill) for number in (1, 2, 3)]
    discovered = folder / "shards.json"

    def discover(*which):
        part = folder / "shards.part"
        part.write_text(json.dumps([{"targets": [f"127.0.0.1:{shard.port}" for shard in which]}]), encoding="utf-8")
        part.rename(discovered)

    (folder / "rules").mkdir()
    for file in pathlib.Path("alerts").glob("*.rules.yml"):
        if file.name.split(".")[0] in ("exporter", "recording", "targets"):
            (folder / "rules" / file.name).write_text(scaled(file.read_text(encoding="utf-8")), encoding="utf-8")
    servers = []
    receivers = [address.removeprefix("http://") for way in ("rules", "both") for address in addresses[way]]
    for name in ("a", "b"):
        config, web = folder / f"prometheus-{name}.yml", f"127.0.0.1:{free_port()}"
        config.write_text(PROMETHEUS.format(scrape=SCRAPE, name=name, alertmanagers=receivers), encoding="utf-8")
        command = [
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / f'tsdb-{name}'}",
            f"--web.listen-address={web}",
            f"--rules.alert.resend-delay={60 // SCALE}s",
            "--log.level=warn",
        ]
        servers.append(Server(folder, f"prometheus-{name}", command, f"http://{web}"))
    try:
        check(told, gates, pairs, shards, servers, discover)
    finally:
        Process.end_all()


def check(told, gates, pairs, shards, servers, discover):
    everyone = set(gates)
    lost = {name for name in gates if holder(name, 3) == 3}
    # Of the shard that is killed, and the first of those that are not.
    early, late, fine = sorted(lost)
    settled, control = sorted(everyone - lost)[:2]

    def all_have(owners, what):
        for server in servers:
            until(60, f"{server.name}: {what}", lambda server=server: server.owners() == owners)

    def divided(count):
        for shard in shards[:count]:
            own = {name for name in gates if holder(name, count) == shard.number}
            until(60, f"{shard.name} of {count} has {sorted(own)}", lambda shard=shard, own=own: set(shard.up()) == own)

    def gaps(since, what):
        say(what)
        for name in (fine, control):
            for metric in ("proxymeter_up", "proxymeter_user_status"):
                seconds = " and ".join(f"{server.gap(metric, name, since):.1f}" for server in servers)
                say(f"  {name} has no sample of {metric} for at most {seconds} s")

    for pair in pairs.values():
        for each in pair:
            each.start()
    for pair in pairs.values():
        for each in pair:
            until(60, f"{each.name} is in a cluster", lambda each=each: is_whole(each))
    for shard in shards:
        shard.configure(3)
        shard.start()
    discover(*shards)
    for server in servers:
        server.start()
    for shard in shards:
        until(60, f"{shard.name} reads its panels", lambda shard=shard: all((up := shard.up()).values()) and up)
    divided(3)
    all_have(dict.fromkeys(everyone, "1"), "every panel has one shard")
    say(f"3 shards, {len(everyone)} panels, 2 Prometheus, {len(pairs)} pairs of Alertmanagers")

    gates[settled].close()
    gates[early].close()
    told.expect("firing", settled, early)
    told.wait(90, f"{settled} and {early} are down")

    since = time.time()
    shards[2].end(signal.SIGKILL)
    gates[late].close()
    time.sleep(LOST)
    told.hold("a shard is lost")
    for shard in shards[:2]:
        shard.configure(2)
        shard.reload()
    discover(*shards[:2])
    divided(2)
    all_have(dict.fromkeys(everyone, "1"), "the others have its panels")
    gaps(since - 10, f"shard 3/3 is killed, and {LOST} s later the others are 1/2 and 2/2")
    told.expect("firing", late)
    # Only the storage of the lost shard knows that this was sent.
    told.expect("firing", early, ways=["own"])
    told.wait(90, f"{late} went down meanwhile")
    time.sleep(max(0, since + LAPSE - time.time()))
    told.hold("an alert of the lost shard would have resolved")

    since = time.time()
    for shard in shards:
        shard.configure(3)
    shutil.rmtree(shards[2].storage)
    shards[2].start()
    discover(*shards)
    for shard in shards[:2]:
        shard.end(signal.SIGTERM)
        shard.start()
    divided(3)
    all_have(dict.fromkeys(everyone, "1"), "every panel has one shard again")
    gaps(since - 10, "shard 3/3 is back with an empty folder, and the others are restarted as 1/3 and 2/3")
    told.expect("firing", early, late, ways=["own"])
    time.sleep(max(0, since + LAPSE - time.time()))
    told.hold("an alert of a panel that moved would have resolved")

    since = time.time()
    for shard in shards:
        shard.end(signal.SIGKILL)
    for shard in shards:
        shard.start()
    divided(3)
    for gate in gates.values():
        gate.open()
    told.expect("resolved", settled, early, late)
    all_have(dict.fromkeys(everyone, "1"), "every panel has one shard again")
    gaps(since - 10, "all shards are killed, and restarted with their storage")
    told.wait(BACK, "all panels are up")
    time.sleep(2 * RESEND)
    told.hold("at the end")
    say("each alert was notified once")


main(*sys.argv[1:])
