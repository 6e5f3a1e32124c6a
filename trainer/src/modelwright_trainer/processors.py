"""How many processors this process may use: what the scheduler grants, and the quota of its cgroup."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")


def count_processors(cgroups: Path = CGROUPS) -> int:
    """Return how many threads have a processor each, at least 1."""
    granted = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    return granted if quota is None else max(1, min(granted, math.ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """Return the processors that the cgroup's quota makes, of either version."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None
