#!/usr/bin/env python3
"""Writes the dashboards in grafana/ from the files beside this one.

generate.py          writes them
generate.py --check  fails if they are not what this would write
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

import fleet, llm, nodes, proxymeter, resellers, user, users  # noqa: E401,E402

FOLDER = pathlib.Path(__file__).resolve().parent.parent


def main():
    texts = {
        FOLDER / f"{module.__name__}.json": json.dumps(module.DASHBOARD, indent=2, ensure_ascii=False) + "\n"
        for module in (fleet, users, user, nodes, resellers, llm, proxymeter)
    }
    if sys.argv[1:] == ["--check"]:
        wrong = set(FOLDER.glob("*.json")) ^ set(texts)
        wrong.update(file for file, text in texts.items() if file.exists() and file.read_text("utf-8") != text)
        if wrong:
            names = ", ".join(sorted(file.name for file in wrong))
            sys.exit(f"Not as grafana/src/generate.py writes them: {names}")
        print(f"{len(texts)} dashboards are as grafana/src/generate.py writes them")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        for file, text in texts.items():
            file.write_text(text, "utf-8")


main()
