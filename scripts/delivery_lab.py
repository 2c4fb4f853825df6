"""What delivery_load.py needs to load a daemon: a panel whose users change, receivers, the daemon, and a slow disk."""

import dataclasses
import datetime
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import socketserver
import statistics
import subprocess
import threading
import time
import urllib.parse

# Makes each fsync of the daemon take longer. PRELOAD is compiled when it is needed.
SLOW_FSYNC = r"""
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int slow(long call, int file) {
    usleep(1000 * atol(getenv("FSYNC_MS")));
    return syscall(call, file);
}
int fsync(int file) { return slow(SYS_fsync, file); }
int fdatasync(int file) { return slow(SYS_fdatasync, file); }
"""

# Bytes that a user has used of 100: below the only step, and above it.
LOW, HIGH = 1, 85


class Server(socketserver.ThreadingTCPServer):
    """Calls `handle` with the reading and the writing file of each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, handle):
        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                try:
                    handle(self.rfile, self.wfile)
                except OSError:
                    pass  # The daemon closed the connection.

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


def requests(reading):
    """The path, headers and body of each request of a connection. http.server is too slow for 50,000 of them."""
    while line := reading.readline():
        headers = {}
        for header in iter(reading.readline, b"\r\n"):
            if not header:
                return
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(reading.readline(), 16):
                body += reading.read(size + 2)[:-2]
            reading.readline()
        else:
            size = int(headers.get("content-length", 0))
            body = reading.read(size)
            if len(body) < size:
                return
        yield line.split()[1].decode(), headers, body


def answer(status, body=b"", kind="application/json"):
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclasses.dataclass
class Change:
    """A user's state as a page of the user list first shows it."""

    at: float
    user: str
    fires: bool


class Panel:
    """A Marzban panel: only what is read from it, in the shapes that Marzban 0.8.4 has.

    `before_walk` is called before the user list is read once more.
    """

    FIXED = {
        "/api/admin/token": {"access_token": "opaque", "token_type": "bearer"},
        "/api/admin": {"username": "root", "is_sudo": True, "users_usage": 0},
        "/api/admins": [{"username": "root", "is_sudo": True, "users_usage": 0}],
        "/api/core": {"version": "25.1.1", "started": True, "logs_websocket": "/api/core/logs"},
        "/api/nodes": [],
        "/api/nodes/usage": {"usages": [{"node_id": None, "node_name": "Master", "uplink": 1, "downlink": 1}]},
        "/api/inbounds": {"vless": [{"tag": "in", "protocol": "vless", "network": "tcp", "tls": "none", "port": 1}]},
    }

    def __init__(self, users, expire=None, before_walk=lambda walks: None):
        self.users = [f"user-{number:05}" for number in range(users)]
        self.used = [LOW] * users
        self.shown = [LOW] * users
        self.expire = "null" if expire is None else int(expire)
        self.changes = []
        self.walks = 0
        self.before_walk = before_walk
        self.port = Server(self.handle).port

    def set(self, used, users=None):
        for user in range(len(self.users)) if users is None else users:
            self.used[user] = used

    def toggle(self, users):
        for user in users:
            self.used[user] = LOW if self.used[user] == HIGH else HIGH

    def handle(self, reading, writing):
        for path, _, _ in requests(reading):
            path, _, query = path.partition("?")
            if path == "/api/users":
                writing.write(answer(200, self.page(urllib.parse.parse_qs(query))))
            elif path == "/api/system":
                writing.write(answer(200, json.dumps(self.system()).encode()))
            elif path in self.FIXED:
                writing.write(answer(200, json.dumps(self.FIXED[path]).encode()))
            else:
                writing.write(answer(404, b'{"detail":"Not Found"}'))

    def page(self, query):
        if "username" in query:
            users = [int(name.removeprefix("user-")) for name in query["username"]]
        else:
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            if offset == 0:
                self.walks += 1
                self.before_walk(self.walks)
            users = range(offset, min(offset + limit, len(self.users)))
        rows = ",".join(self.row(user, time.time()) for user in users)
        return f'{{"users":[{rows}],"total":{len(self.users)}}}'.encode()

    def row(self, user, now):
        name, used = self.users[user], self.used[user]
        if used != self.shown[user]:
            self.shown[user] = used
            self.changes.append(Change(now, name, used == HIGH))
        return (
            f'{{"username":"{name}","status":"active","used_traffic":{used},"lifetime_used_traffic":1000,'
            f'"data_limit":100,"data_limit_reset_strategy":"no_reset","expire":{self.expire},"online_at":null,'
            f'"on_hold_expire_duration":null,"next_plan":null,"admin":{{"username":"root","is_sudo":true}}}}'
        )

    def system(self):
        users = len(self.users)
        counts = {"active": users, "on_hold": 0, "disabled": 0, "expired": 0, "limited": 0}
        return {
            "version": "0.8.4", "mem_total": 100, "mem_used": 10, "cpu_cores": 2, "cpu_usage": 1.0,
            "total_user": users, "online_users": 0, "incoming_bandwidth": 1, "outgoing_bandwidth": 1,
            **{f"users_{status}": count for status, count in counts.items()},
        }


@dataclasses.dataclass
class Message:
    """What a receiver accepted. `alerts` are (user, whether it fires, when it started)."""

    at: float
    id: str
    alerts: list


class Receiver:
    """A receiver on loopback. `messages` are those that it accepted; `seen` counts all attempts that reached it."""

    def __init__(self, name, manner):
        self.name, self.manner = name, manner
        self.messages = []
        self.seen = 0

    def users(self, fires=True):
        """The users in whose accepted messages something fires, or ended."""
        return {user for message in self.messages for user, firing, _ in message.alerts if firing == fires}


class Webhook(Receiver):
    """In a manner: healthy, unread (healthy, and its messages are not decoded), slow, hanging, refusing, page (200 with
    a web page), garbage (no HTTP), limited (413 above 64 KB), or the status that it answers.
    """

    def __init__(self, name, manner="healthy"):
        super().__init__(name, manner)
        if manner == "refusing":
            # A port that is bound and not listened to refuses connections, and belongs to no other process.
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        else:
            self.port = Server(self.handle).port
        self.config = f'[webhook.{name}]\nurl = "http://127.0.0.1:{self.port}/"\n'

    def handle(self, reading, writing):
        for _, headers, body in requests(reading):
            at = time.time()
            self.seen += 1
            match self.manner:
                case "hanging":
                    reading.readline()  # Until the daemon gives up.
                    return
                case "page":
                    writing.write(answer(200, b"<!DOCTYPE html><html>Welcome</html>", "text/html"))
                case "garbage":
                    writing.write(b"what is HTTP?\r\n\r\n")
                    return
                case "limited" if len(body) > 64 * 1024:
                    writing.write(answer(413))
                case "healthy" | "unread" | "slow" | "limited":
                    if self.manner == "slow":
                        time.sleep(3)
                    # Kept before the answer, so that everything that was answered was kept.
                    message = Message(at, headers.get("webhook-id", ""), [])
                    self.messages.append(message)
                    writing.write(answer(200))
                    message.alerts = decoded(body) if self.manner != "unread" else []
                case status:
                    writing.write(answer(status))


def decoded(body):
    return [
        (alert["labels"].get("subject", ""), alert["status"] == "firing", alert["startsAt"])
        for alert in json.loads(body)["alerts"]
    ]


class Mail(Receiver):
    """In a manner: healthy, refused (550 to the sender), or large (552 to each mail)."""

    ANSWERS = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}

    def __init__(self, name, manner="healthy"):
        super().__init__(name, manner)
        port = Server(self.handle).port
        self.config = (
            f'[email.{name}]\nsmarthost = "127.0.0.1:{port}"\ntls = "none"\nfrom = "meter@example.com"\n'
            'to = "ops@example.com"\n'
        )

    def handle(self, reading, writing):
        writing.write(b"220 ready\r\n")
        for line in reading:
            word = line[:4].upper()
            if word == b"MAIL" and self.manner == "refused":
                self.seen += 1
                writing.write(b"550 5.7.1 not from you\r\n")
                continue
            writing.write(self.ANSWERS.get(word, b"250 fine") + b"\r\n")
            if word == b"QUIT":
                return
            if word == b"DATA":
                self.seen += 1
                while reading.readline() not in (b".\r\n", b""):
                    pass
                if self.manner == "large":
                    writing.write(b"552 5.3.4 too large\r\n")
                else:
                    self.messages.append(Message(time.time(), "", []))
                    writing.write(b"250 taken\r\n")


CONFIG = """
[web]
listen = "127.0.0.1:{port}"
[poll]
interval = "5s"
users_interval = "{users_interval}"
load = "100%"
[users]
labels = "off"
[storage]
path = "{storage}"
[marzban.home]
url = "http://127.0.0.1:{panel}"
username = "root"
password = "root"
[alerting]
group_by = {group_by}
group_wait = "{group_wait}"
group_interval = "{group_interval}"
[alert.user_quota]
steps = ["80%"]
[alert.user_expiry]
steps = ["0s"]
[alert.accounting_stalled]
enabled = false
"""


@dataclasses.dataclass
class Sample:
    """The daemon at a time: memory and files on the disk in MB, and open descriptors."""

    at: float
    rss: float
    store: float
    descriptors: int


class Daemon:
    """The program under test, with its configuration and storage in the folder `work`."""

    running = []

    def __init__(
        self, program, work, panel, receivers, *,
        group_by=("target", "alertname"), group_wait="1s", group_interval="5s", users_interval="5s", fsync_ms=0,
    ):
        self.program, self.work, self.receivers, self.fsync_ms = program, pathlib.Path(work), receivers, fsync_ms
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.storage = self.work / "storage"
        settings = CONFIG.format(
            port=self.port, storage=self.storage, panel=panel.port, group_by=json.dumps(list(group_by)),
            group_wait=group_wait, group_interval=group_interval, users_interval=users_interval,
        )
        (self.work / "exporter.toml").write_text(settings + "".join(receiver.config for receiver in receivers))
        self.samples = []
        self.start()
        self.running.append(self)
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self):
        environment = dict(os.environ)
        if self.fsync_ms:
            environment |= {"LD_PRELOAD": str(self.preload()), "FSYNC_MS": str(self.fsync_ms)}
        command = [self.program, f"--config.file={self.work / 'exporter.toml'}", "--log.level=warn"]
        with open(self.work / "daemon.log", "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)

    def preload(self):
        library = self.work / "slow_fsync.so"
        if not library.exists():
            command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
            subprocess.run(command, input=SLOW_FSYNC, text=True, check=True)
        return library

    def stop(self, how=signal.SIGTERM, patience=120):
        """Stops the daemon and returns how many seconds it takes; absent if it has to be killed after `patience`."""
        began = time.time()
        self.process.send_signal(how)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        return time.time() - began

    def status(self, key):
        """A size from /proc in MB."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{key}:\s+(\d+) kB", text, re.M)
        return int(found[1]) / 1024 if found else 0.0

    def rss(self):
        return self.status("VmRSS")

    def peak(self):
        return self.status("VmHWM")

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def watch(self):
        while True:
            try:
                store = sum(file.stat().st_size for file in self.storage.glob("*")) / 2**20
                descriptors = len(os.listdir(f"/proc/{self.process.pid}/fd"))
                self.samples.append(Sample(time.time(), self.rss(), store, descriptors))
            except OSError:
                pass  # It ended, or a file of the store went away.
            time.sleep(1)

    def scrape(self):
        """The metrics page, and how many seconds it took."""
        began = time.time()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        return page, time.time() - began

    def metric(self, name):
        """All values of a metric, by the label receiver."""
        found = re.findall(rf'^{name}(?:{{[^}}]*receiver="([^"]*)"[^}}]*}}|{{[^}}]*}})? (\S+)$', self.scrape()[0], re.M)
        return {receiver: float(value) for receiver, value in found}


def until(holds, within):
    """How many seconds pass until this holds; absent if it does not within so many."""
    began = time.time()
    while time.time() - began < within:
        if holds():
            return time.time() - began
        time.sleep(0.05)
    return None


def delays(changes, messages, end):
    """How long after each change a message says so; infinite if none does before the next change of the user.

    Changes up to `end` are judged.
    """
    said = {}
    for message in messages:
        for user, fires, started in message.alerts:
            said.setdefault(user, []).append((message.at, fires, started))
    following, found = {}, []
    for change in reversed(changes):
        before = following.get(change.user, float("inf"))
        following[change.user] = change.at
        if change.at > end:
            continue
        # A message that fires and is older than the change says that an earlier alert fired.
        saying = (
            at
            for at, fires, started in said.get(change.user, [])
            if change.at <= at < before and fires == change.fires and (not fires or seconds(started) > change.at - 10)
        )
        found.append(next(saying, float("inf")) - change.at)
    return found


def seconds(time_text):
    return datetime.datetime.fromisoformat(time_text).timestamp()


class Report:
    """Prints figures and collects the promises that do not hold."""

    def __init__(self):
        self.broken = []

    def row(self, what, value, note=""):
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        print(f"{what:<56} {shown:>12} {note}", flush=True)

    def at_most(self, what, value, limit, unit):
        """A figure that has to be there and within its limit."""
        self.row(what, "none" if value is None else value, f"{unit}, at most {limit:g}")
        if value is None or not value <= limit:
            self.broken.append(what)

    def equal(self, what, value, expected):
        self.row(what, value, f"of {expected}")
        if value != expected:
            self.broken.append(what)

    def load(self):
        self.row("load average", os.getloadavg()[0], "of one minute")

    def memory(self, daemon, most=None):
        if most is None:
            self.row("peak memory (VmHWM)", daemon.peak(), "MB")
        else:
            self.at_most("peak memory (VmHWM)", daemon.peak(), most, "MB")
        self.row("memory now (VmRSS)", daemon.rss(), "MB")

    def queues(self, daemon):
        """What the daemon itself shows of its backlog."""
        for name in ("notification_queue_length", "notifications_total", "notifications_abandoned_total"):
            values = daemon.metric(f"proxymeter_{name}")
            self.row(f"{name}, sum and largest", sum(values.values()), f"{max(values.values(), default=0):g}")
        oldest = daemon.metric("proxymeter_notification_oldest_pending_timestamp_seconds")
        ages = {receiver: time.time() - at for receiver, at in oldest.items()}
        self.row("oldest waiting notification", max(ages.values(), default=0.0), "s")
        self.row("store_up", min(daemon.metric("proxymeter_store_up").values(), default="absent"))

    def stop(self, daemon):
        self.at_most("time to stop", daemon.stop(), 5, "s")

    def thirds(self, daemon, warm_up):
        """The largest values in the first and in the last third of the time."""
        samples = [sample for sample in daemon.samples if sample.at > daemon.samples[0].at + warm_up]
        third = len(samples) // 3
        for what, slack in (("rss", 8), ("store", 4), ("descriptors", 8)):
            values = [getattr(sample, what) for sample in samples]
            early, late = max(values[:third]), max(values[-third:])
            self.row(f"{what}, median and largest", statistics.median(values), f"{max(values):.1f}")
            self.row(f"{what}, largest of the first third", float(early))
            self.at_most(f"{what}, largest of the last third", float(late), round(early * 1.1 + slack, 1), "")
