"""Tables of figures: on the terminal, and between the markers of a Markdown file."""

import dataclasses
import math
import os
import pathlib
import re
import statistics


def median(values):
    return statistics.median(values)


def quantile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclasses.dataclass
class Row:
    figure: str
    ours: str
    reference: str = ""
    ratio: str = ""
    load: str = ""
    target: str = ""


class Table:
    """The figures of one part. Each row has the load average of the time when it was measured."""

    HEAD = Row("Figure", "proxymeter", "Reference", "Ratio", "Load", "Target")

    def __init__(self, part, title):
        self.part, self.title, self.rows, self.missed, self.subject = part, title, [], [], ""
        print(f"\n{title}", flush=True)
        self.show(self.HEAD)

    def show(self, row):
        line = f"{row.figure:<56} {row.ours:>14} {row.reference:>14} {row.ratio:>6} {row.load:>5} {row.target}"
        print(line.rstrip(), flush=True)

    def add(self, figure, ours, unit="", reference=None, most=None, least=None, of_ratio=True):
        """Adds a figure, and its ratio to a reference.

        `most` and `least` are the target: of the ratio, if there is one and nothing else is said.
        """
        ratio = ours / reference if reference else None
        judged = ratio if ratio is not None and of_ratio else ours
        missed = (most is not None and judged > most) or (least is not None and judged < least)
        target = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
        row = Row(figure, number(ours, unit), load=f"{os.getloadavg()[0]:.1f}", target=target)
        if reference is not None:
            row.reference = number(reference, unit)
        if ratio is not None:
            row.ratio = f"{ratio:.2f}"
        if missed:
            row.target += " **missed**"
        self.put(row)
        if missed:
            of = "" if figure == self.subject else f" {figure}"
            self.missed.append(f"{self.part}: {self.subject}{of}: {judged:.3g} instead of {target}")

    def note(self, figure, text):
        """Adds a figure that is not judged, as text."""
        self.put(Row(figure, text))

    def put(self, row):
        """A figure that begins with … is of the same subject as the one before."""
        self.subject = self.subject if row.figure.startswith("…") else row.figure
        self.rows.append(row)
        self.show(row)

    def markdown(self):
        lines = [dataclasses.astuple(row) for row in [self.HEAD, *self.rows]]
        lines.insert(1, ("---", "---:", "---:", "---:", "---:", "---"))
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value, unit):
    digits = 0 if value == int(value) or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def write(file, tables):
    """Puts each table between its markers in the file, or at its end."""
    path = pathlib.Path(file)
    text = path.read_text() if path.exists() else ""
    for table in tables:
        begin, end = f"<!-- {table.part} -->\n", f"<!-- end of {table.part} -->\n"
        block = f"{begin}\n{table.markdown()}\n{end}"
        if begin in text:
            text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, count=1, flags=re.S)
        else:
            text += f"\n### {table.title}\n\n{block}"
    path.write_text(text)
