"""What alertmanager_pair.py and scaling_e2e.py need: a webhook, a gate in front of a panel, processes, and Alertmanagers."""

import http.server
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request


# Below those of outgoing connections, of which there are many between this and the start of a process.
ports = iter(random.sample(range(20000, 32000), 1000))


def free_port():
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class Hook:
    """Receives the notifications."""

    def __init__(self):
        messages = self.messages = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def seen(self):
        """The status and the alertnames of each."""
        return [(each["status"], *sorted(a["labels"]["alertname"] for a in each["alerts"])) for each in self.messages]


class Gate:
    """The way to the panel. While it is closed, the panel is down for everyone."""

    def __init__(self, panel):
        self.panel, self.is_open, self.connections = panel, True, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if not self.is_open:
                client.close()
                continue
            server = socket.create_connection(self.panel)
            self.connections |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            self.connections.discard(each)
            self.cut(each)

    def cut(self, connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def open(self):
        self.is_open = True

    def close(self):
        self.is_open = False
        for each in list(self.connections):
            self.cut(each)


class Process:
    every = []

    def __init__(self, folder, name, command, address):
        self.name, self.command, self.address = name, command, address
        self.log, self.running = folder / f"{name}.log", None
        Process.every.append(self)

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.running = subprocess.Popen(self.command, stdout=log, stderr=log)

    def end(self, how):
        self.running.send_signal(how)
        self.running.wait()
        self.running = None

    @classmethod
    def end_all(cls):
        for each in cls.every:
            if each.running is not None:
                each.end(signal.SIGKILL)

    def is_dead(self):
        return self.running is not None and self.running.poll() is not None


def until(seconds, what, condition):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if dead := [each.name for each in Process.every if each.is_dead()]:
            sys.exit(f"ended by itself: {', '.join(dead)}")
        if time.monotonic() > deadline:
            sys.exit(f"waited too long: {what}")
        time.sleep(0.2)


def cluster_of_two(alertmanager, config, folder, names):
    """Two Alertmanagers with this configuration, not yet started."""
    web = {name: f"127.0.0.1:{free_port()}" for name in names}
    gossip = {name: f"127.0.0.1:{free_port()}" for name in names}
    pair = []
    for name in names:
        command = [
            alertmanager,
            f"--config.file={config}",
            f"--storage.path={folder / name}",
            f"--web.listen-address={web[name]}",
            f"--cluster.listen-address={gossip[name]}",
            f"--cluster.advertise-address={gossip[name]}",
            *(f"--cluster.peer={gossip[other]}" for other in names if other != name),
            "--cluster.peer-timeout=1s",
            "--cluster.gossip-interval=100ms",
            "--cluster.pushpull-interval=1s",
            "--cluster.reconnect-interval=1s",
        ]
        pair.append(Process(folder, f"alertmanager-{name}", command, f"http://{web[name]}"))
    return pair


def is_whole(alertmanager):
    cluster = json.loads(get(f"{alertmanager.address}/api/v2/status"))["cluster"]
    return cluster["status"] == "ready" and len(cluster["peers"]) == 2


def panels(text):
    """The targets in the configuration that `demo --panels-only` prints, by name: the table, and the address in it."""
    tables = {}
    for table in re.findall(r"\[\w+\.\w+\]\nurl = .+\n(?:.+\n)*", text):
        host, port = re.search(r'url = "http://([^:"]+):(\d+)"', table).groups()
        tables[re.match(r"\[\w+\.(\w+)\]", table)[1]] = table, (host, int(port))
    return tables
