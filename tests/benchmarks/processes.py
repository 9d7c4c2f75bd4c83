"""Processes of the speed benchmarks: one apart for each measurement, and what the kernel says about them."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from speed_figures import memory_mb, status_mb

Found = TypeVar("Found")


def in_own_process(function: Callable[..., Found], *arguments: Any) -> Found:
    """Calls a function of a module in a fresh process, whose memory nothing has touched before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def memory_of(process: int | None = None) -> dict[str, float]:
    """`pss`, `uss` and `rss` of a process, or of this one, in MB."""
    return memory_mb(Path(f"/proc/{process or os.getpid()}/smaps_rollup").read_text())


def resident_mb() -> float:
    """What this process holds in memory."""
    return status_mb(Path("/proc/self/status").read_text(), "VmRSS")


def peak_mb() -> float:
    """The most this process has held since its start, or since `forget_peak`."""
    return status_mb(Path("/proc/self/status").read_text(), "VmHWM")


def forget_peak() -> None:
    """Counts the peak of this process's memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")
