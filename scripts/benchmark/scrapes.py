"""What scrapes cost, compared with nginx sending the same bytes."""

import collections
import contextlib
import re
import threading
import time
import zlib

from .client import FORMS, wrk
from .lab import Lab, Mirror
from .marzban import Marzban
from .table import Table, median, quantile
from .xui import Xui

FAR = "5m"  # An interval within which nothing is polled again.


def scrapes(work, quick):
    """Scrapes of a page that is ready, on kept connections, compared with nginx under wrk"""
    table = Table("scrapes", scrapes.__doc__)
    cases = [(Marzban(10_000), 1)]
    if not quick:
        cases += [(Marzban(users), 1) for users in (1_000, 50_000, 100_000)] + [(Xui(10_000), 1), (Marzban(1_000), 100)]
    for number, (population, targets) in enumerate(cases):
        with Lab(work, population, targets, interval=FAR, rests=True) as lab, Mirror(ready(lab)) as mirror:
            what = f"{targets} × {population.users:,} users of {type(population).__name__}"
            sizes = {form: len(lab.page(form)) for form in ("gzip", "plain")}
            table.note(what, f"{sizes['plain']:,} bytes, {sizes['gzip']:,} with gzip")
            for form, size in sizes.items():
                # Long enough for some pages on each connection.
                seconds = 1 if quick else 2 if size < 10_000_000 else 6
                for connections in (1, 8, 32):
                    rate(table, lab, mirror, form, connections, seconds, judged=number == 0)
    return table


def ready(lab):
    lab.wait_for_walks(lab.population.walks)
    lab.settle()
    return lab


def rate(table, lab, mirror, form, connections, seconds, judged):
    """Adds the rate of scrapes; if it is judged, also what one takes."""
    found = collections.defaultdict(list)
    for _ in range(7 if judged and seconds > 1 else 2):
        for name, server in (("ours", lab.daemon), ("nginx", mirror)):
            before = server.processor_time()
            per_second, late = wrk(server.port, connections, seconds, form)
            spent = server.processor_time() - before
            for figure, value in (("rate", per_second), ("p99", late), ("cost", spent / per_second / seconds * 1000)):
                found[name, figure].append(value)

    def add(what, figure, unit, **target):
        table.add(what, median(found["ours", figure]), unit, median(found["nginx", figure]), **target)

    scrapes_of = f"{form}, {connections} connection{'s' if connections > 1 else ''}: scrapes a second"
    if not judged:
        return add(scrapes_of, "rate", "")
    add(scrapes_of, "rate", "", least=1.0 if form == "gzip" else 1.2)
    add("… 99 of 100 within", "p99", "ms")
    add("… processor time of one", "cost", "ms")


def connections(work, quick):
    """Single scrapes, on kept and on new connections, compared with nginx and the same client"""
    table = Table("connections", connections.__doc__)
    for users in (10_000,) if quick else (10_000, 100_000):
        with Lab(work, Marzban(users), interval=FAR, rests=True) as lab, Mirror(ready(lab)) as mirror:
            for form in ("gzip", "plain"):
                for kept in (True, False):
                    clients = {
                        name: server.client(form=form, kept=kept) for name, server in (("ours", lab), ("nginx", mirror))
                    }
                    times = collections.defaultdict(list)
                    for turn in range(40 if quick else 101):
                        for name, client in clients.items():
                            took = client.get()[0] * 1000
                            if turn:  # The first one connects.
                                times[name].append(took)
                    for client in clients.values():
                        client.close()
                    what = f"{users:,} users, {form}, {'kept' if kept else 'new'} connection"
                    spread(table, what, times)
    return table


def spread(table, what, times, most=None):
    ours, nginx = times["ours"], times["nginx"]
    table.add(f"{what}: median", median(ours), "ms", median(nginx))
    table.add("… 99 of 100 within", quantile(ours, 0.99), "ms", quantile(nginx, 0.99), most=most)
    table.add("… longest", max(ours), "ms", max(nginx))


def cold(work, quick):
    """The first scrape after a poll, compared with nginx's median for the same bytes and client"""
    table = Table("cold", cold.__doc__)
    for users in (10_000,) if quick else (10_000, 100_000):
        with Lab(work, Marzban(users), interval="5s") as lab, Mirror(lab.ready()) as mirror:
            for form in ("plain", "gzip"):
                times = collections.defaultdict(list)
                with contextlib.closing(lab.client(form=form)) as ours, contextlib.closing(mirror.client(form=form)) as nginx:
                    for turn in range(3 if quick else 8):
                        took, late = first_of_poll(lab, ours)
                        times["first"].append(took * 1000)
                        times["late"].append(late * 1000)
                        times["nginx"] += [nginx.get()[0] * 1000 for _ in range(6)][1:]
                        # One that nothing came before since the poll, a second after it.
                        lab.wait_for_walks()
                        time.sleep(1)
                        times["alone"].append(ours.get()[0] * 1000)
                        times["nginx"] += [nginx.get()[0] * 1000 for _ in range(6)][1:]
                reference = median(times["nginx"])
                most = 2 if (users, form) == (100_000, "plain") else None
                what = f"{users:,} users, {form}"
                table.add(f"{what}: the first that shows the poll", median(times["first"]), "ms", reference, most=most)
                table.add("… longest of them", max(times["first"]), "ms", reference)
                table.add("… its end, after the panel's last page: median", median(times["late"]), "ms")
                table.add("… the latest of them", max(times["late"]), "ms")
                table.add("… one scrape, a second after the poll", median(times["alone"]), "ms", reference, most=most)
    return table


def first_of_poll(lab, client):
    """Seconds of the first scrape that shows the next reading of the list, and from the panel's last page to its end."""
    read = read_at(client.get(keep_body=True)[2])
    lab.wait_for_walks(every=0.001)
    last_page = max(request.at for request in lab.seen if lab.population.ends_walk(request.path))
    while (began := time.time()) < last_page + 60:
        took, _, body = client.get(keep_body=True)
        if read_at(body) != read:
            return took, began + took - last_page
    raise RuntimeError("no scrape shows the poll")


def read_at(body):
    """When the list was read, by a page that may be compressed."""
    pattern = rb'^proxymeter_target_part_last_success_timestamp_seconds\{target="t0",part="users"\} (\S+)$'
    if not body.startswith(b"\x1f\x8b"):
        return re.search(pattern, body, re.M)[1]
    inflate, text, place = zlib.decompressobj(31), b"", 0
    while place < len(body):
        text += inflate.decompress(body[place : place + 65536])
        place += 65536
        if found := re.search(pattern, text, re.M):
            return found[1]
    raise RuntimeError("a page without the time of the list")


def busy(work, quick):
    """Scrapes while 100,000 users are polled every 5 s, compared with nginx while the same polls go on"""
    table = Table("busy", busy.__doc__)
    with Lab(work, Marzban(100_000), interval="5s") as lab, Mirror(lab.ready()) as mirror:
        for forms in (("gzip",), ("plain",), tuple(FORMS)):
            times = {form: collections.defaultdict(list) for form in forms}
            for _ in range(1 if quick else 2):
                for name, server in (("ours", lab), ("nginx", mirror)):
                    scrape_together(server, forms, 10 if quick else 30, {form: times[form][name] for form in forms})
            together = " of three forms at a time" if len(forms) > 1 else ""
            for form in forms:
                spread(table, f"{form}{together}", times[form], most=1.5)
    return table


def scrape_together(server, forms, seconds, times):
    """Scrapes in each form five times a second, on connections that are kept. Adds milliseconds to `times`."""

    def scrape(form):
        end = time.monotonic() + seconds
        with contextlib.closing(server.client(form=form)) as client:
            client.get()
            while (began := time.monotonic()) < end:
                times[form].append(client.get()[0] * 1000)
                time.sleep(max(0, began + 0.2 - time.monotonic()))

    threads = [threading.Thread(target=scrape, args=(form,)) for form in forms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
