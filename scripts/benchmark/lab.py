"""What the parts have in common: a panel and a daemon that polls it, and a server with the same pages."""

import collections
import contextlib
import itertools
import os
import pathlib
import time

from .client import Client, curl
from .panel import Nginx, Panel
from .process import STARTED, Daemon, processor_time, processor_time_of, until

NUMBERS = itertools.count()
POLL = '[poll]\ninterval = "{interval}"\nload = "100%"\nusers_interval = "{users_interval}"\n'


class Lab:
    """A panel with a population, and a daemon that has read it from so many targets."""

    def __init__(self, work, population, targets=1, interval="5s", users_interval=None, moves=True, config=""):
        self.work = pathlib.Path(work) / str(next(NUMBERS))
        self.population, self.targets = population, targets
        self.seen, self.walks, self.place = [], collections.Counter(), 0
        self.panel = Panel(self.work / "panel", population, 5 if moves else None)
        tables = [population.config(f"t{number}", self.panel.target(number)) for number in range(targets)]
        poll = POLL.format(interval=interval, users_interval=users_interval or interval)
        self.daemon = Daemon(self.work / "daemon", poll + "".join(tables) + config)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.stop()
        self.panel.stop()

    def look(self):
        """Reads what is new in the panel's log."""
        with open(self.panel.log) as log:
            log.seek(self.place)
            while (line := log.readline()).endswith("\n"):
                self.place = log.tell()
                method, path, size, _ = line.split("\t")
                self.seen.append((method, path, int(size)))
                if self.population.ends_walk(path):
                    self.walks[path.split("/")[1]] += 1
        return min((self.walks[f"t{number}"] for number in range(self.targets)), default=0)

    def wait_for_walks(self, more=1, within=600):
        """Waits until each target was read so many times more."""
        wanted = self.look() + more
        until(lambda: self.look() >= wanted, within, "the lists are read")

    def settle(self):
        """Waits until the daemon has nothing to do for a moment."""

        def rests():
            before = self.daemon.processor_time()
            time.sleep(0.1)
            return self.daemon.processor_time() - before < 0.003

        until(rests, 60, "the daemon rests")

    def ready(self, walks=2):
        self.wait_for_walks(walks)
        self.settle()
        return self

    def walk(self):
        """The requests of the last whole walk of a target: their paths."""
        self.look()
        paths = [path for _, path, _ in self.seen if path.startswith("/t0/") and self.population.is_list(path)]
        ends = [place for place, path in enumerate(paths) if self.population.ends_walk(path)]
        return paths[ends[-2] + 1 : ends[-1] + 1]

    def cost_of_polls(self, polls):
        """Seconds of processor time per poll of all targets, during so many."""
        before = self.daemon.processor_time()
        self.wait_for_walks(polls)
        self.settle()
        return (self.daemon.processor_time() - before) / polls

    def bare_cost(self):
        """Seconds of processor time that curl and a bare parser take for the lists of one target: the sum, and rows."""
        walk = self.walk()
        download = curl(self.work, [self.panel.nginx.url + path for path in walk])
        files = sorted((self.panel.work / "www").glob(self.population.kept))
        size = sum(file.stat().st_size for file in files)
        repeats = max(1, 100_000_000 // size)
        _, output = processor_time_of([os.environ["BARE_PARSE"], self.population.name, str(repeats), *map(str, files)])
        rows, parse = map(int, output.split())
        return download, parse / 1e9, rows

    def client(self, **options):
        return Client(self.daemon.port, **options)


class Mirror:
    """nginx with the bytes of a page of the daemon."""

    def __init__(self, work, lab):
        self.nginx = Nginx(
            pathlib.Path(work) / str(next(NUMBERS)), "location / { gzip_static on; }", kind="text/plain"
        )
        self.port = self.nginx.port
        self.copy(lab)

    def copy(self, lab):
        for name, form in (("metrics", "plain"), ("metrics.gz", "gzip")):
            with contextlib.closing(lab.client(form=form)) as client:
                body = client.get(keep_body=True)[2]
            (self.nginx.work / "www" / name).write_bytes(body)

    def processor_time(self):
        children = pathlib.Path(f"/proc/{self.nginx.process.pid}/task/{self.nginx.process.pid}/children").read_text()
        return sum(processor_time(int(pid)) for pid in children.split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.nginx.stop()
