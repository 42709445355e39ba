"""What runs the measurements, and what processes have used of it."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil


def processor_seconds(pid: int) -> float:
    """Processor time of a process and its children so far, counted by the scheduler in nanoseconds.

    It is what ``schedstat`` has for each thread, and threads that have ended stay counted: a server with a
    thread for each client would look cheap without them.
    """
    used = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(OSError):  # a child that ended meanwhile
                used += time.clock_gettime(~process.pid << 3 | 2)  # CPUCLOCK_SCHED of another process
    return used


def resident_octets(pid: int) -> int:
    """Memory of a process that is its own."""
    return psutil.Process(pid).memory_full_info().uss


def allow_open_files() -> None:
    """As many open files as the system lets us have: idle sessions are open ones."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def hardware() -> str:
    """Processors, system and versions."""
    model = _value("/proc/cpuinfo", "model name", ":") or platform.processor()
    release = _value("/etc/os-release", "PRETTY_NAME", "=") or platform.system()
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    openssl = version.partition(" (")[0].strip()
    return f"{os.cpu_count()} x {model}, {release}, Python {platform.python_version()}, {openssl}"


def company() -> str:
    """The load average, and which programs run beside us: numbers of a busy machine say so."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    ours = {os.getpid(), os.getppid()}
    running = Counter(
        process.info["name"]
        for process in psutil.process_iter(["pid", "name", "status"])
        if process.info["status"] == psutil.STATUS_RUNNING and process.info["pid"] not in ours
    )
    beside = ", ".join(f"{count} {name}" for name, count in running.most_common(5)) or "nobody"
    return f"load average {load}; running at this moment: {beside}"


def _value(path: str, name: str, separator: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(separator)
            if key.strip() == name:
                return value.strip().strip('"')
    return ""
