#!/usr/bin/env python3
"""Refuse to measure on a machine that does something else: see README.md.

    tests/bench/quiet.py

Watches the processors for a few seconds. Ends with 1, and names what was at work, where more than a twentieth of one
processor was used. BUSY=1 only says so.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

SECONDS = 5
MOST = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
# Places in the first line of /proc/stat (proc(5)): all but idle, iowait and the two that are in user and nice already.
AT_WORK = (1, 2, 3, 6, 7, 8)
# Places in /proc/PID/stat behind the name: utime and stime.
TIMES = slice(11, 13)


def machine() -> int:
    """Give the ticks that the processors were at work, or were taken from this machine."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return sum(int(fields[place]) for place in AT_WORK)


def processes() -> dict[tuple[int, str], int]:
    """Give the ticks that each process used, by number and name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry.name), name] = sum(int(ticks) for ticks in rest.split()[TIMES])
    return found


def main() -> None:
    """Watch, and say what was seen."""
    all_before, before = machine(), processes()
    time.sleep(SECONDS)
    all_after, after = machine(), processes()
    used = (all_after - all_before) / TICKS / SECONDS
    if used <= MOST:
        return
    shares = {process: (ticks - before.get(process, 0)) / TICKS / SECONDS for process, ticks in after.items()}
    busiest = sorted(shares.items(), key=lambda share: -share[1])[:5]
    named = ", ".join(f"{name} ({number}) {share:.0%}" for (number, name), share in busiest if share >= MOST / 10)
    print(
        f"this machine is not quiet: for {SECONDS} s, {used:.0%} of a processor was at work, and {MOST:.0%} may be; "
        f"most of it: {named or 'what ended meanwhile'}. What is measured beside it is not to be compared. End it "
        "first (a test cluster: make clean-cluster), or measure all the same with BUSY=1.",
        file=sys.stderr,
    )
    if not os.environ.get("BUSY"):
        sys.exit(1)


if __name__ == "__main__":
    main()
