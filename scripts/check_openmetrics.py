#!/usr/bin/env python3
"""Reads an OpenMetrics exposition from stdin with the reference parser and refuses whatever is wrong with it.

Needs prometheus_client. Prints a line on success; exits 1 and tells what is wrong otherwise.
"""

import collections
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def main():
    text = sys.stdin.read()
    if not text.endswith("\n# EOF\n"):
        sys.exit("the text does not end with # EOF")

    # The parser passes over a series that is there twice in a row. Samples have no timestamp here, so that a line is
    # the series and, behind its last space, the value.
    lines = [line.rpartition(" ")[0] for line in text.split("\n") if line and not line.startswith("#")]
    twice = [line for line, count in collections.Counter(lines).items() if count > 1]
    if twice:
        sys.exit(f"twice: {twice}")

    # The parser raises ValueError with the place.
    families = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    if len(samples) != len(lines):
        sys.exit(f"{len(lines)} samples are written, {len(samples)} are read")
    for family in families:
        if not family.documentation:
            sys.exit(f"{family.name} has no HELP")
    for sample in samples:
        if sample.timestamp is not None:
            sys.exit(f"has a timestamp: {sample}")

    up = {sample.labels["target"]: sample.value for sample in samples if sample.name == "proxymeter_up"}
    if not up:
        sys.exit("no proxymeter_up")
    down = [target for target, value in up.items() if value != 1]
    if down:
        sys.exit(f"proxymeter_up is not 1 for {', '.join(down)}")
    print(f"{len(families)} families, {len(samples)} series, {len(up)} targets up")


if __name__ == "__main__":
    main()
