"""The figures of many runs on single series: accuracy, overtuning and honest claims."""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median

from benchmarking import Figure, Record

BY_FILE = (
    "file",
    "runs",
    "ours",
    "default",
    "best of search",
    "seasonal naive",
    "Theta",
    "ETS",
    "ridge",
    "/ naive",
    "/ better of ETS, Theta",
    "result",
)
RATIOS = (
    "file",
    "seed",
    "winner",
    "ours / default",
    "best / default",
    "claim / test",
    "naive claim / best's test",
    "in the interval",
)

ROUNDING = 1e-6
"""Relative difference of two errors that counts as none."""

NOTICEABLE = 0.02
"""Relative difference of two errors that a user would notice."""

FEWEST_FILES = 20
"""Files that a statement on overtuning needs."""

NORMAL_80 = 1.2816
"""Standard errors on both sides of a normal mean that hold 80 %."""


def naive_of(record: Record) -> float:
    """Test error of the seasonal naive, which is the last value where there is no season."""
    baselines = record["baselines"]
    return float(baselines.get("seasonal naive", baselines.get("last value")))


def statistical_of(record: Record) -> float:
    """Test error of the better of ETS and Theta."""
    return float(min(record["baselines"]["ETS"], record["baselines"]["Theta"]))


def geometric_mean(values: Iterable[float]) -> float:
    return math.exp(fmean(map(math.log, values)))


def grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The runs of each file, in the order of the files' names."""
    names = sorted({record["file"] for record in records})
    return {name: [record for record in records if record["file"] == name] for name in names}


def by_file(records: Sequence[Record]) -> list[Record]:
    """A row for each file, with means over its seeds; the ratios are geometric means."""
    rows = []
    for name, runs in grouped(records).items():
        ratio = _mean_ratio(runs, statistical_of)
        scores = [fmean(run["test"] for run in runs), fmean(run["default_test"] for run in runs)]
        scores += [fmean(run["best_test"] for run in runs), naive_of(runs[0])]
        scores += [runs[0]["baselines"][baseline] for baseline in ("Theta", "ETS", "ridge")]
        result = "win" if ratio < 1 else "loss"
        values = [name, len(runs), *scores, _mean_ratio(runs, naive_of), ratio, result]
        rows.append(dict(zip(BY_FILE, values, strict=True)))
    return rows


def _mean_ratio(runs: Sequence[Record], other: Callable[[Record], float]) -> float:
    return geometric_mean(run["test"] / other(run) for run in runs)


def ratios(records: Sequence[Record]) -> list[Record]:
    """A row for each run."""
    rows = []
    for name, runs in grouped(records).items():
        for run in runs:
            claim = run["expected"] / run["test"] if run["expected"] is not None else None
            winner = "default" if run["is_default"] else f"trial {run['winner']}"
            winner = f"{len(run['members'])} together" if len(run["members"] or ()) > 1 else winner
            values = [name, run["seed"], winner, run["test"] / run["default_test"]]
            values += [run["best_test"] / run["default_test"], claim, run["best_validation"] / run["best_test"]]
            rows.append(dict(zip(RATIOS, [*values, _words(is_covered(run))], strict=True)))
    return rows


def is_covered(record: Record) -> bool | None:
    """Whether the stated interval holds the test error; None without an interval."""
    return None if record["low"] is None else bool(record["low"] <= record["test"] <= record["high"])


def is_covered_naively(record: Record) -> bool | None:
    """Whether the best trial's score, with the normal interval of its folds, holds its test error."""
    if record["best_error"] is None:
        return None
    return bool(abs(record["best_test"] - record["best_validation"]) <= NORMAL_80 * record["best_error"])


def figures_of(records: Sequence[Record]) -> list[Figure]:
    """All figures; overtuning and claims are those of whole searches, which ran all the trials asked for."""
    whole = [record for record in records if record["ended"] >= record["trials"]]
    counts = [
        Figure("runs with all trials", float(len(whole)), f"of {len(records)}"),
        Figure("files with all trials", float(len(grouped(whole))), ">= 20", len(grouped(whole)) >= FEWEST_FILES),
    ]
    return [*accuracy(records), *counts, *(overtuning(whole) + claims(whole) if whole else [])]


def accuracy(records: Sequence[Record]) -> list[Figure]:
    """The test error over those of the baselines, by file."""
    rows = by_file(records)
    wins = sum(row["result"] == "win" for row in rows)
    best = geometric_mean(row["best of search"] / row["seasonal naive"] for row in rows)
    default = geometric_mean(row["default"] / row["seasonal naive"] for row in rows)
    return [
        Figure("files", float(len(rows))),
        Figure.at_most("ours / seasonal naive, geometric mean", geometric_mean(row["/ naive"] for row in rows), 0.85),
        Figure.at_most(
            "ours / better of ETS and Theta, geometric mean",
            geometric_mean(row["/ better of ETS, Theta"] for row in rows),
            1.0,
        ),
        Figure(f"files won against the better of ETS and Theta, of {len(rows)}", float(wins)),
        Figure("best of search / seasonal naive", best),
        Figure("default configuration / seasonal naive", default),
    ]


def overtuning(records: Sequence[Record]) -> list[Figure]:
    """How often, and how far, a choice is worse on the test part than the default configuration."""
    ours = [record["test"] / record["default_test"] for record in records]
    best = [record["best_test"] / record["default_test"] for record in records]
    number = f"{len(records)} runs"
    return [
        Figure.at_most(f"runs worse than the default configuration, % of {number}", _worse(ours, ROUNDING), 5.0),
        Figure("the same for the best of the search, %", _worse(best, ROUNDING)),
        Figure("runs worse by more than 2 %, %", _worse(ours, NOTICEABLE)),
        Figure("the same for the best of the search, %", _worse(best, NOTICEABLE)),
        Figure("runs better than the default by more than 2 %, %", _worse([1 / ratio for ratio in ours], NOTICEABLE)),
        Figure("the same for the best of the search, %", _worse([1 / ratio for ratio in best], NOTICEABLE)),
        Figure("ours / default, geometric mean", geometric_mean(ours)),
        Figure("best of the search / default, geometric mean", geometric_mean(best)),
        Figure("runs that chose the default itself, %", _share(record["is_default"] for record in records)),
    ]


def claims(records: Sequence[Record]) -> list[Figure]:
    """What was claimed, over what the test part showed."""
    claimed = [record["expected"] / record["test"] for record in records if record["expected"] is not None]
    naive = [record["best_validation"] / record["best_test"] for record in records]
    covered = [is_covered(record) for record in records if is_covered(record) is not None]
    by_folds = [is_covered_naively(record) for record in records if is_covered_naively(record) is not None]
    return [
        Figure.within("expected / realised error, median", _median(claimed), 0.9, 1.1),
        Figure("best validation score / realised error of the best of the search, median", _median(naive)),
        Figure.within(f"test in the 80 % interval, % of {len(covered)} runs with one", _share(covered), 70, 90),
        Figure("best of the search within its folds' normal 80 % interval, %", _share(by_folds)),
        Figure("runs with an expected error, %", 100 * len(claimed) / len(records)),
        Figure("runs with an interval, %", 100 * len(covered) / len(records)),
        Figure("median width of the interval / expected error", _median(_widths(records))),
    ]


def _widths(records: Sequence[Record]) -> list[float]:
    return [(record["high"] - record["low"]) / record["expected"] for record in records if record["low"] is not None]


def _worse(ratios: Sequence[float], by: float) -> float:
    return _share(ratio > 1 + by for ratio in ratios)


def _share(claims: Iterable[bool | None]) -> float:
    values = [bool(claim) for claim in claims]
    return 100 * sum(values) / len(values) if values else math.nan


def _median(values: Sequence[float]) -> float:
    return median(values) if values else math.nan


def _words(claim: bool | None) -> str:
    return "-" if claim is None else "yes" if claim else "no"
