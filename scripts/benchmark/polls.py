"""What polls cost."""

import collections
import os
import time

from .client import curl
from .cliproxy import Queue, Usage
from .lab import Lab
from .marzban import Marzban
from .process import processor_time_of
from .table import Table, median
from .xui import Xui, XuiOfText

SYSTEMS = {
    Marzban: "Marzban, {:,} users",
    Xui: "3x-ui 3.6, {:,} clients",
    XuiOfText: "3x-ui 2.8, {:,} clients",
    Usage: "CLIProxyAPI, {:,} details",
}
SIZES = (1_000, 10_000, 50_000, 100_000)
# Those that have a target: 1.3 times as much as curl and a bare parser.
JUDGED = ((Marzban, 50_000), (Xui, 20_000), (XuiOfText, 20_000), (Usage, 100_000))


def polls(work, quick):
    """Processor time of a poll, compared with curl and a bare parser"""
    table = Table("polls", polls.__doc__)
    sizes = [(Marzban, size) for size in SIZES] + [(Xui, size) for size in (*SIZES[:2], 20_000, *SIZES[2:])]
    sizes += [(XuiOfText, 20_000)] + [(Usage, size) for size in (*SIZES, 1_000_000)]
    for system, size in JUDGED if quick else sizes:
        with Lab(work, system(size)) as lab:
            first = lab.cost_of_first_poll()
            what = SYSTEMS[system].format(size)
            cost_of(table, lab.ready(), what, quick, 1.3 if (system, size) in JUDGED else None, first)
    if not quick:
        with Lab(work, Marzban(1_000), targets=100) as lab:
            cost_of(table, lab.ready(), "Marzban, 100 targets of 1,000 users, each", quick)
    starts = [curl(work, ["file:///dev/null"]) * 1000 for _ in range(5)]
    table.note("the start of curl, which is part of each reference", f"{median(starts):.1f} ms")
    return table


def cost_of(table, lab, what, quick, most=None, first=None):
    costs = collections.defaultdict(list)
    for _ in range(2 if quick else 5 if most else 3):
        cost = lab.cost_of_polls()
        download, parse, rows = lab.bare_cost()
        for name, value in (("ours", cost.time), ("bare", download + parse), ("curl", download)):
            costs[name].append(value * 1000)
        costs["requests"].append(cost.requests)
        costs["size"].append(cost.size / 2**20)
    ours = median(costs["ours"])
    table.add(what, ours, "ms", median(costs["bare"]), most=most)
    if first:
        table.add("… from the start of the program to the end of the first poll", first * 1000, "ms", median(costs["bare"]))
    table.add("… against curl alone", ours, "ms", median(costs["curl"]))
    note = f"{median(costs['requests']):.0f} requests, {median(costs['size']):.1f} MB, {rows:,} rows"
    table.note("… asked of the panel", note)


def queue(work, quick):
    """A queue of 500 records a second, compared with curl and a bare parser"""
    table = Table("queue", queue.__doc__)
    population = Queue(500)
    with Lab(work, population) as lab:
        lab.wait_for_walks(2)
        shares = collections.defaultdict(list)
        for _ in range(1 if quick else 2):
            lab.look()
            began, before, seen = time.monotonic(), lab.daemon.processor_time(), len(lab.seen)
            time.sleep(30)
            lasted = time.monotonic() - began
            shares["ours"].append((lab.daemon.processor_time() - before) / lasted * 100)
            lab.look()
            size = sum(request.size for request in lab.seen[seen:] if population.is_list(request.path))
            shares["size"].append(size / lasted / 2**20)
            # The same records once more, from files.
            www = lab.panel.work / "www"
            body = population.batch(1_000)
            (www / "batch").write_bytes(body)
            batches = max(1, round(size / len(body)))
            download = curl(lab.work, [f"{lab.panel.nginx.url}/batch"] * batches)
            output = processor_time_of([os.environ["BARE_PARSE"], population.name, "50", str(www / "batch")])[1]
            parse = int(output.split()[1]) / 1e9 * batches
            shares["bare"].append((download + parse) / lasted * 100)
        table.add("share of a core", median(shares["ours"]), "%", median(shares["bare"]))
        table.add("records, MB a second", median(shares["size"]), "MB")
        table.add("peak memory (VmHWM)", lab.daemon.memory("VmHWM"), "MB")
        gaps = [line for line in lab.page().decode().splitlines() if line.startswith("proxymeter_llm_usage_gaps_total")]
        table.add("gaps", float(gaps[0].split()[-1]) if gaps else 0, most=0)
    return table


def idle(work, quick):
    """Ten Marzban targets of 1,000 users, polled every 30 s with the default load"""
    table = Table("idle", idle.__doc__)
    with Lab(work, Marzban(1_000), targets=10, interval="30s", poll="") as lab:
        lab.wait_for_walks(2)
        shares = []
        for _ in range(1 if quick else 2):
            began, before = time.monotonic(), lab.daemon.processor_time()
            time.sleep(60)
            shares.append((lab.daemon.processor_time() - before) / (time.monotonic() - began) * 100)
        table.add("share of a core", median(shares), "%", most=0.25)
        table.add("peak memory (VmHWM)", lab.daemon.memory("VmHWM"), "MB")
        lab.look()
        requests = [request for request in lab.seen if request.at > time.time() - 60]
        table.add("requests in a minute", len(requests))
    return table
