"""How many CPUs this process may use: a SLURM job, a container or a `taskset` has fewer than the machine.

`python -m cluster.machines.cpus` prints the number, for shell scripts that start Ray.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

PROCESS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Which control group this process is in, and where the limits of all groups are (version 2 of Linux's groups)."""


def usable_cpus() -> int:
    """CPUs that the scheduler gives this process, at most as many as its control groups allow, and at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, *(int(quota) for quota in _quotas(PROCESS, GROUPS)), allowed))


def _quotas(process: Path, groups: Path) -> Iterator[float]:
    """CPUs that each control group above this process allows; nothing where no group has a limit."""
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, name = line.partition("::")
        if number != "0":
            continue
        inside = groups / name.lstrip("/")
        for group in (inside, *inside.parents):
            if not group.is_relative_to(groups):
                break
            try:
                quota, period = (group / "cpu.max").read_text().split()
                yield int(quota) / int(period)
            except (OSError, ValueError):  # no limit is `max`, and the first group of all has no such file
                continue


if __name__ == "__main__":
    sys.stdout.write(f"{usable_cpus()}\n")
