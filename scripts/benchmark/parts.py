"""The parts of the benchmark, in their order. Each is a function that returns a table."""

from .limits import alerts, memory, million, outage, storm
from .polls import idle, polls, queue
from .scrapes import busy, cold, connections, scrapes

PARTS = {
    part.__name__: part
    for part in (polls, queue, idle, scrapes, connections, cold, busy, memory, storm, million, outage, alerts)
}
