"""What a tree of processes used, from /proc: its processor time and its memory."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat behind the name (proc(5)): the parent, and utime, stime, cutime and cstime.
PARENT, TIMES = 1, slice(11, 15)


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Give a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(int(entry.name))[PARENT])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def processor_seconds(root: int) -> tuple[float, float]:
    """Give the time of a tree, with that of children that ended and were waited for: all of it, and the kernel's."""
    used = in_kernel = 0
    for process in tree(root):
        try:
            times = [int(time) for time in _stat(process)[TIMES]]
        except (FileNotFoundError, ProcessLookupError):
            continue
        used += sum(times)
        in_kernel += sum(times[1::2])
    return used / TICKS, in_kernel / TICKS


def megabytes(root: int) -> float:
    """Give the resident memory of a tree; pages that several share are split between them (PSS)."""
    total = 0
    for process in tree(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total * 1024 / 1e6
