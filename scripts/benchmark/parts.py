"""The parts of the benchmark: each is a function that returns a table."""

import collections

from .client import wrk
from .lab import Lab, Mirror
from .marzban import Marzban
from .table import Table, median


def polls(work, quick):
    """Processor time of a poll, compared with curl and a bare parser"""
    table = Table("polls", polls.__doc__)
    for users in (10_000,) if quick else (1_000, 10_000, 50_000, 100_000):
        population = Marzban(users)
        with Lab(work, population) as lab:
            lab.ready()
            costs = collections.defaultdict(list)
            for _ in range(2 if quick else 5):
                costs["ours"].append(lab.cost_of_polls(1 if quick else 2))
                download, parse, rows = lab.bare_cost()
                costs["bare"].append(download + parse)
                costs["download"].append(download)
                costs["parse"].append(parse)
            lab.look()
            walk = lab.walk()
            what = f"{users:,} Marzban users"
            ours, bare = median(costs["ours"]) * 1000, median(costs["bare"]) * 1000
            table.add(f"{what}: a poll, against curl and bare parser", ours, "ms", bare, most=1.3 if users == 50_000 else None)
            table.add(f"{what}: … against curl alone", ours, "ms", median(costs["download"]) * 1000)
            table.add(f"{what}: requests of a walk", len(walk))
            table.add(f"{what}: rows of a walk", rows)
            table.add(f"{what}: peak memory, never scraped", lab.daemon.memory("VmHWM"), "MB")
    return table


def scrapes(work, quick):
    """Scrapes of a page that is ready, on kept connections, compared with nginx"""
    table = Table("scrapes", scrapes.__doc__)
    for users in (10_000,):
        with Lab(work, Marzban(users), interval="5m", moves=False) as lab:
            lab.ready(walks=1)
            with Mirror(work, lab) as mirror:
                for form in ("gzip", "plain"):
                    for connections in (1, 8, 32):
                        rates = collections.defaultdict(list)
                        for _ in range(2 if quick else 5):
                            for name, server in (("ours", lab.daemon), ("nginx", mirror)):
                                before = server.processor_time()
                                rate, *latency = wrk(server.port, connections, 1 if quick else 3, form)
                                rates[name].append(rate)
                                rates[f"{name}-p99"].append(latency[1])
                                rates[f"{name}-cpu"].append((server.processor_time() - before) / rate / (1 if quick else 3))
                        what = f"{users:,} users, {form}, {connections} connections"
                        table.add(f"{what}: scrapes per second", median(rates["ours"]), "/s", median(rates["nginx"]), least=1.0 if form == "gzip" else 1.2)
                        table.add(f"{what}: p99", median(rates["ours-p99"]), "ms", median(rates["nginx-p99"]))
                        table.add(f"{what}: processor time each", median(rates["ours-cpu"]) * 1000, "ms", median(rates["nginx-cpu"]) * 1000)
    return table


PARTS = {part.__name__: part for part in (polls, scrapes)}
