"""How much data this container has room for: in go sizes as files tell them, out comes a refusal before they fill it.

A small file may hold very much: compressed zeros, a sparse file, one value for a million rows, very many empty files.
Data is unpacked in memory only, so that the memory that the container may use is what bounds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .failure import Reason, RunError

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMORY: Final = Path("/proc/meminfo")
MOST_FILES: Final = 1_000_000
"""Of one data set: each takes room, however small it is."""
A_FILE: Final = 1024
"""Bytes that a file takes beside what it holds, about."""
MIB: Final = 2**20


def memory_limit(cgroups: Path = CGROUPS) -> int | None:
    """Return the bytes that this container may use, of either version of cgroups."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found = int((cgroups / name).read_text())
        except (OSError, ValueError):
            continue
        # The older version says a number beyond all memory where there is no limit.
        return found if found < 2**60 else None
    return None


def find_room() -> int:
    """Return the most bytes of unpacked data: half of the memory, since its parts are held beside it."""
    limit = memory_limit()
    if limit is None:
        line = next(line for line in MEMORY.read_text().splitlines() if line.startswith("MemTotal:"))
        limit = int(line.split()[1]) * 1024
    return limit // 2


class Room:
    """What is left while the members of one file or folder are read."""

    def __init__(self, name: str) -> None:
        """Begin with all of it; `name` is the file or folder, as people know it."""
        self.name = name
        self.most = find_room()
        self.taken = 0
        self.files = 0

    def take(self, size: int, what: str = "unpacked") -> None:
        """Count bytes, and refuse what is beyond."""
        self.taken += size
        if self.taken > self.most:
            sizes = f"at least {self.taken // MIB} MiB {what}, and there is room for {self.most // MIB} MiB"
            message = (
                f"{self.name} has {sizes}, half of what this container may use: raise "
                "spec.training.resources.limits.memory, or give less data"
            )
            raise RunError(Reason.TOO_LARGE, message)

    def take_file(self, size: int) -> None:
        """Count one more file."""
        self.files += 1
        if self.files > MOST_FILES:
            message = (
                f"{self.name} holds more than {MOST_FILES} files and folders, the most of one data set: "
                "give fewer, or write the pixels as NPZ"
            )
            raise RunError(Reason.TOO_LARGE, message)
        self.take(size + A_FILE)
