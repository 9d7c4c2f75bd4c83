"""The arithmetic of the speed benchmarks: where time went, how busy workers were, how memory and times grow."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

MB = 1e6


def ratio_of_medians(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over median; NaN where one side was not measured."""
    return median(numerator) / median(denominator) if numerator and denominator else math.nan


def geometric_mean(values: Sequence[float]) -> float:
    """NaN of none."""
    return math.exp(fmean(map(math.log, values))) if values else math.nan


# --- where the time of a run goes -----------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """An event as a listener heard it.

    Attributes:
        kind: the event's class.
        at: seconds after the clock was started.
        seconds: what a trial trained so far; zero of other events.
    """

    kind: str
    at: float
    seconds: float = 0.0


def phases(heard: Sequence[Heard], *, total_s: float, slots: int) -> dict[str, float]:
    """Where the seconds of a run went; they add up to its total.

    `workers` ends when the first trial begins to train, which is its first report less what it had trained by then.
    `training` is what all trials trained, spread over the slots; `controller` is the rest of the search, in which a
    slot waited for its next trial or, at the end, for the other slot.

    Args:
        heard: all events, in order.
        total_s: the whole clock.
        slots: trials that ran at once.
    """

    def first(*kinds: str) -> Heard:
        return next(one for one in heard if one.kind in kinds)

    def last(kind: str) -> Heard:
        return next(one for one in reversed(heard) if one.kind == kind)

    began = first("TrialReported", "TrialEnded")
    searched, trained = first("SearchEnded").at, sum(one.seconds for one in heard if one.kind == "TrialEnded") / slots
    marks = [
        ("data and Ray", first("RunStarted").at),
        ("simple baselines", first("TrialStarted").at),
        ("workers", began.at - began.seconds),
        ("training and controller", searched),
        ("selection", first("WinnerChosen").at),
        ("final training", last("RefitReported").at),
        ("test, verdict, bundle", first("RunEnded").at),
        ("end of Ray, report", total_s),
    ]
    found, before = {}, 0.0
    for name, at in marks:
        found[name], before = at - before, at
    search = found.pop("training and controller")
    return {**found, "training": trained, "controller": search - trained}


# --- the loop between workers and the search ------------------------------------------------------


def per_trial_ms(ends: Sequence[float]) -> float:
    """Milliseconds from one end of a trial to the next, on average; the first one's start-up does not count."""
    return (ends[-1] - ends[0]) / (len(ends) - 1) * 1e3


def growth(ends: Sequence[float], *, share: int) -> float:
    """What the last `share` trials took, over what the first took."""
    if len(ends) < 2 * share:
        return math.nan
    return per_trial_ms(ends[-share:]) / per_trial_ms(ends[:share])


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Growth of y for each x, by least squares."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else math.nan


@dataclass(frozen=True)
class Span:
    """A trial in a worker.

    Attributes:
        worker: whichever.
        begun: when the worker got it, in seconds.
        ended: when the worker was done with it.
    """

    worker: str
    begun: float
    ended: float


def utilisation(spans: Iterable[Span]) -> float:
    """The share of all workers' time that was spent on trials, while there was work for all of them.

    That is from the moment the last worker has begun its first trial until the last trial of all begins. Starting
    processes lies before, and workers that find nothing left to do idle after it.
    """
    spans = list(spans)
    first: dict[str, float] = {}
    for span in spans:
        first[span.worker] = min(span.begun, first.get(span.worker, math.inf))
    begin, end = max(first.values()), max(span.begun for span in spans)
    if end <= begin:
        return math.nan
    busy = sum(max(0.0, min(span.ended, end) - max(span.begun, begin)) for span in spans)
    return busy / (len(first) * (end - begin))


def controller_costs(runs: Sequence[tuple[int, int, float]]) -> tuple[float, float]:
    """Seconds of the driver's processor for a trial and for a report, by least squares and never negative.

    Args:
        runs: trials, reports and processor seconds of each run; they differ in reports a trial.
    """
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    counts = np.array([run[:2] for run in runs], dtype=np.float64)
    seconds = np.array([run[2] for run in runs])
    weight = 1 / np.maximum(seconds, 1e-9)  # a run of minutes counts no more than a short one
    (trial_s, report_s), _ = nnls(counts * weight[:, None], seconds * weight)
    return float(trial_s), float(report_s)


def extrapolated(workers: int, *, trial_s: float, cost_trial_s: float, cost_report_s: float) -> float:
    """The share of time that so many workers could be busy with a report a second, were the controller all that limits.

    A controller that needs more than a second of its processor for what workers do in one falls behind by that factor.
    """
    demand = workers * (cost_trial_s / trial_s + cost_report_s)
    return min(1.0, 1 / demand) if demand else 1.0


# --- memory ---------------------------------------------------------------------------------------


def memory_mb(text: str) -> dict[str, float]:
    """A process's memory in MB of 10**6 bytes, from the text of `smaps_rollup`: shared out (`pss`), its own (`uss`)."""
    fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines()[1:])}
    own = fields["Private_Clean"] + fields["Private_Dirty"]
    return {"pss": fields["Pss"] * 1024 / MB, "uss": own * 1024 / MB, "rss": fields["Rss"] * 1024 / MB}


def status_mb(text: str, name: str) -> float:
    """A line such as `VmHWM` or `VmRSS` of the text of `/proc/PID/status`, in MB of 10**6 bytes."""
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / MB


# --- training steps -------------------------------------------------------------------------------


def step_gflop(*, units: int, depth: int, window: int, batch: int, features: int, outputs: int) -> float:
    """Multiplications and additions of a training step of an LSTM with a linear head, in 10**9.

    A layer multiplies four gates' matrices with its input and its state at every step; going back costs twice as much
    as going forward. What is done element by element does not count.
    """
    sizes = [features] + [units] * (depth - 1)
    layers = sum(2 * batch * window * 4 * units * (size + units) for size in sizes)
    return 3 * (layers + 2 * batch * units * outputs) / 1e9


# --- how soon a search is as good as another ------------------------------------------------------


def reached(curve: Iterable[tuple[float, float]], target: float) -> float | None:
    """The first time at which a score is at the target or below; None where it never is."""
    return next((at for at, score in curve if score <= target), None)


def speedup(own: float | None, other: float, *, limit_s: float) -> float:
    """How many times sooner ours was there; where it never was, its whole time counts, which flatters it."""
    return other / (limit_s if own is None else own)


@dataclass(frozen=True)
class Training:
    """How long a trial trained.

    Attributes:
        seconds: what it trained.
        whole_s: what all its epochs would have taken; more than that where the time limit cut it off.
    """

    seconds: float
    whole_s: float


def shuffled_ends(
    trials: Mapping[int, Training], *, slots: int, ready: float, limit_s: float, generator: np.random.Generator
) -> dict[int, float]:
    """When each trial of a search would have ended, had chance drawn them in another order; others are left out.

    What is under way at the limit is cut off there. It counts if it came as far as it did: more is not known of it.

    Args:
        trials: by number.
        slots: trials that run at once.
        ready: when the workers of the first trials had started.
        limit_s: when the search ends.
        generator: of the order.
    """
    free, ends = [ready] * slots, dict[int, float]()
    for trial in generator.permutation(list(trials)).tolist():
        slot, took = free.index(min(free)), trials[trial]
        begun, free[slot] = free[slot], free[slot] + took.whole_s
        if begun + took.seconds <= limit_s:
            ends[trial] = min(free[slot], limit_s)
    return ends


def thinned(ends: Mapping[int, float], count: int) -> list[tuple[float, list[int]]]:
    """At most `count` moments of a search, each with the trials that had ended, from their times by number.

    Each has a fixed factor more trials than the one before, so that early moments are told apart as well as late ones.
    """
    order = sorted(ends, key=lambda trial: ends[trial])
    chosen = sorted({round(i) for i in np.geomspace(1, len(order), min(count, len(order)))}) if order else []
    return [(ends[order[n - 1]], order[:n]) for n in chosen]
