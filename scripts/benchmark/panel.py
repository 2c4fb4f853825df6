"""A panel that costs nothing: nginx with answers that were rendered to files at their first request."""

import http.server
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

from .population import dump
from .process import start, stop, until

CONF = """
daemon off;
worker_processes auto;
pid {work}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    log_format bench '$msec\\t$request_uri\\t$body_bytes_sent';
    access_log {log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
    gzip off;
    types {{ }}
    default_type {kind};
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    server {{
        listen 127.0.0.1:{port};
        root {work}/www;
        {locations}
    }}
}}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Nginx:
    """Debian's nginx with the folder www in `work`."""

    def __init__(self, work, locations="", kind="application/json", log=None):
        self.work = pathlib.Path(work)
        (self.work / "www").mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        conf = CONF.format(
            work=self.work, port=self.port, locations=locations, kind=kind, log=f"{log} bench" if log else "off"
        )
        (self.work / "nginx.conf").write_text(conf)
        command = ["nginx", "-e", self.work / "error.log", "-p", self.work, "-c", self.work / "nginx.conf"]
        self.process = start(command, stderr=subprocess.DEVNULL)
        until(self.answers, 20, f"nginx listens; see {self.work}/error.log")

    def answers(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        stop(self.process)


class Panel:
    """Serves `population` below /t0, /t1 and so on: as many targets as are asked for.

    With `period`, traffic moves every so many seconds.
    """

    def __init__(self, work, population, period=None):
        self.population = population
        self.work = pathlib.Path(work)
        www = self.work / "www"
        www.mkdir(parents=True)
        self.log = self.work / "access.log"
        live = free_port()
        ready = multiprocessing.Event()
        arguments = (population, www, live, period, ready)
        self.renderer = multiprocessing.Process(target=render, args=arguments, daemon=True)
        self.renderer.start()
        ready.wait(60)
        # A file answers no POST, and this does, without its body.
        fixed = "".join(
            f"location = {path} {{ {kind(value)} return 200 '{value if isinstance(value, str) else dump(value)}'; }}\n"
            for path, value in population.fixed().items()
        )
        lists = "".join(
            f"location = {path} {{ try_files {name} @live; }}\n" for path, name in population.files().items()
        )
        headers = "".join(f'add_header {name} "{value}" always;\n' for name, value in population.headers.items())
        self.nginx = Nginx(
            self.work,
            f"""
            rewrite ^/t[0-9]+/(.*)$ /$1;
            {headers}{fixed}{lists}
            location / {{ return 404 '{population.missing}'; }}
            location @live {{ proxy_pass http://127.0.0.1:{live}; }}
            """,
            log=self.log,
        )

    def target(self, number=0):
        return f"{self.nginx.url}/t{number}/"

    def stop(self):
        self.nginx.stop()
        self.renderer.terminate()
        self.renderer.join()
        shutil.rmtree(self.work, ignore_errors=True)


def kind(value):
    return "default_type text/html;" if isinstance(value, str) else ""


def render(population, www, port, period, ready):
    """Answers what is in no file yet, and keeps it as a file. Moves traffic in the files."""
    # The panel ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lock = threading.Lock()
    files = {}

    def keep(name, body):
        part = www / f"{name}.part"
        part.write_bytes(body)
        if name in files:
            os.close(files[name])
        files[name] = os.open(part, os.O_WRONLY)
        part.rename(www / name)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with lock:
                name, body = population.answer(self.path)
                if name:
                    keep(name, body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", len(body))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready.set()
    number = 0
    while True:
        time.sleep(period or 3600)
        number += 1
        if not period:
            continue
        with lock:
            for name, place, body in population.tick(number):
                if place is None:
                    keep(name, body)
                else:
                    os.pwrite(files[name], body, place)
