"""What the kernel says of a process: processor seconds, memory, threads, descriptors; and cores."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int, thread: int | None = None) -> float:
    """Processor seconds of a process with all its threads, or of one thread alone."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    fields = Path(path).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mb(pid: int) -> float:
    """Resident memory of a process now, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
    return kib / 1024


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def settle_on(core: int, *, realtime: bool) -> bool:
    """Keep this process to one core; with `realtime`, before everybody else's work there.

    Answers whether the kernel allowed the latter. Children inherit both.
    """
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # whoever began this may have one core
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    if realtime:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
            return True
    return False
