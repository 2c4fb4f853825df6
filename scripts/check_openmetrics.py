#!/usr/bin/env python3
"""Reads an OpenMetrics exposition from stdin with the reference parser and refuses whatever is wrong with it.

Needs prometheus_client. Prints a line on success; exits 1 and tells what is wrong otherwise.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def main():
    text = sys.stdin.read()
    if not text.endswith("\n# EOF\n"):
        sys.exit("the text does not end with # EOF")

    # The parser raises ValueError with the place.
    families = list(text_string_to_metric_families(text))
    seen = set()
    for family in families:
        if not family.documentation:
            sys.exit(f"{family.name} has no HELP")
        for sample in family.samples:
            series = (sample.name, *sorted(sample.labels.items()))
            if series in seen:
                sys.exit(f"twice: {series}")
            seen.add(series)
            if sample.timestamp is not None:
                sys.exit(f"with a timestamp: {series}")

    up = [sample for family in families for sample in family.samples if sample.name == "proxymeter_up"]
    if not up:
        sys.exit("no proxymeter_up")
    down = [sample.labels["target"] for sample in up if sample.value != 1]
    if down:
        sys.exit(f"proxymeter_up is not 1 for {', '.join(down)}")
    print(f"{len(families)} families, {len(seen)} series, {len(up)} targets up")


if __name__ == "__main__":
    main()
