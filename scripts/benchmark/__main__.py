"""scripts/bench: measures the daemon beside nginx, curl and a bare parser."""

import argparse
import os
import pathlib
import sys
import tempfile
import traceback

from .parts import PARTS
from .table import write


def main():
    what = "\n".join(f"  {name:<14} {part.__doc__}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, epilog=f"parts:\n{what}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", metavar="PART", choices=[[], *PARTS], help="what to measure; everything by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes, for a first look")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--markdown", metavar="FILE", help="put the tables between their markers in this file")
    arguments = parser.parse_args()
    tables, failed = [], []
    with tempfile.TemporaryDirectory(prefix="proxymeter-bench-") as work:
        os.chmod(work, 0o755)  # nginx's workers are another user.
        for name in arguments.part or PARTS:
            try:
                tables.append(PARTS[name](pathlib.Path(work), arguments.quick))
                if not tables[-1].rows:
                    raise RuntimeError("no figures")
            except Exception:  # The other parts can be measured all the same.
                traceback.print_exc()
                failed.append(name)
            if arguments.markdown:
                write(arguments.markdown, tables)
    missed = [figure for table in tables for figure in table.missed]
    print("\n" + ("\n".join(f"MISSED: {figure}" for figure in missed) or "No target is missed"))
    if failed:
        sys.exit(f"FAILED: {', '.join(failed)}")
    if missed and arguments.strict:
        sys.exit(1)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
