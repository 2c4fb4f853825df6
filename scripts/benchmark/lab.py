"""What the parts have in common: a panel and a daemon that polls it, and a server with the same pages."""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import time

from .client import Client, curl
from .panel import Nginx, Panel
from .process import Daemon, processor_time, processor_time_of, until

NUMBERS = itertools.count()


@dataclasses.dataclass
class Request:
    """One line of the panel's log."""

    at: float
    path: str
    size: int

    @property
    def target(self):
        return self.path.split("/")[1]


@dataclasses.dataclass
class Cost:
    """What polls cost: seconds of processor time, requests, and bytes of answers."""

    time: float
    requests: float
    size: float


class Lab:
    """A panel with a population, and a daemon that has read it from so many targets.

    Traffic moves every five seconds, unless it rests. The user list is read as often as everything else, unless `poll` says
    how often. `poll` and `config` are parts of the daemon's configuration.
    """

    def __init__(self, work, population, targets=1, interval="5s", poll=None, rests=False, config=""):
        self.work = pathlib.Path(work) / str(next(NUMBERS))
        self.population, self.targets = population, targets
        self.seen, self.walks, self.place = [], collections.Counter(), 0
        self.panel = Panel(self.work / "panel", population, None if rests else 5)
        tables = [population.config(f"t{number}", self.panel.target(number)) for number in range(targets)]
        poll = f'load = "100%"\nusers_interval = "{interval}"\n' if poll is None else poll
        self.daemon = Daemon(self.work / "daemon", f'[poll]\ninterval = "{interval}"\n{poll}' + "".join(tables) + config)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.stop()
        self.panel.stop()

    def look(self):
        """Reads what is new in the panel's log. Returns how many times the list of each target was read at least."""
        with open(self.panel.log) as log:
            log.seek(self.place)
            while (line := log.readline()).endswith("\n"):
                self.place = log.tell()
                at, path, size = line.split("\t")
                request = Request(float(at), path, int(size))
                self.seen.append(request)
                if self.population.ends_walk(path):
                    self.walks[request.target] += 1
        return min(self.walks[f"t{number}"] for number in range(self.targets))

    def wait_for_walks(self, more=1, within=600, every=0.02):
        """Waits until the list of each target was read so many times more."""
        wanted = self.look() + more
        until(lambda: self.look() >= wanted, within, "the lists are read", every)

    def settle(self):
        """Waits until the daemon has nothing to do for a moment."""

        def rests():
            before = self.daemon.processor_time()
            time.sleep(0.1)
            return self.daemon.processor_time() - before < 0.003

        until(rests, 60, "the daemon rests")

    def ready(self, walks=2):
        self.wait_for_walks(walks)
        if self.targets == 1:
            self.settle()
        return self

    def cost_of_first_poll(self):
        """Seconds of processor time since the start of the program until the list was read first."""
        self.wait_for_walks(self.population.walks)
        self.settle()
        return self.daemon.processor_time()

    def cost_of_polls(self, polls=1):
        """What it costs to poll one target."""
        if self.targets == 1:
            # Of a poll that goes on, only the rest would count.
            self.settle()
        self.look()
        before, seen, walks = self.daemon.processor_time(), len(self.seen), sum(self.walks.values())
        self.wait_for_walks(polls)
        if self.targets == 1:
            self.settle()
        spent = self.daemon.processor_time() - before
        self.look()
        walks = sum(self.walks.values()) - walks
        new = self.seen[seen:]
        return Cost(spent / walks, len(new) / walks, sum(request.size for request in new) / walks)

    def walk(self):
        """The requests of the last whole reading of a list."""
        self.look()
        lists = [request for request in self.seen if request.target == "t0" and self.population.is_list(request.path)]
        ends = [place for place, request in enumerate(lists) if self.population.ends_walk(request.path)]
        return lists[ends[-2] + 1 : ends[-1] + 1]

    def bare_cost(self):
        """Seconds of processor time that curl, and a bare parser, take for the list of one target; and its rows."""
        download = curl(self.work, [self.panel.nginx.url + request.path for request in self.walk()])
        files = sorted((self.panel.work / "www").glob(self.population.kept))
        repeats = max(1, 100_000_000 // sum(file.stat().st_size for file in files))
        command = [os.environ["BARE_PARSE"], self.population.name, str(repeats), *map(str, files)]
        rows, parse = map(int, processor_time_of(command)[1].split())
        return download, parse / 1e9, rows

    def client(self, **options):
        return Client(self.daemon.port, **options)

    def page(self, form="plain"):
        with contextlib.closing(self.client(form=form)) as client:
            return client.get(keep_body=True)[2]


class Mirror:
    """nginx with the bytes of the daemon's page."""

    def __init__(self, lab):
        self.nginx = Nginx(lab.work / f"mirror{next(NUMBERS)}", "location / { gzip_static on; }", kind="text/plain")
        self.port = self.nginx.port
        for name, form in (("metrics", "plain"), ("metrics.gz", "gzip")):
            (self.nginx.work / "www" / name).write_bytes(lab.page(form))

    def processor_time(self):
        pid = self.nginx.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return sum(processor_time(int(child)) for child in children.split())

    def client(self, **options):
        return Client(self.port, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.nginx.stop()
