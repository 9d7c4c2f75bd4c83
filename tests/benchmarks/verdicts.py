"""Whether the verdict says no where there is nothing to learn, and yes where only a network can learn it.

Random walks and white noise have no forecast better than the simplest one. The Mackey-Glass series is chaotic: its next
steps are a smooth nonlinear function of the last ones, which a linear model follows badly.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from benchmarking import (
    RESULTS,
    Figure,
    Record,
    RunFailedError,
    conclude,
    initialised,
    options,
    read_records,
    run,
    show,
    work_through,
)
from numpy.typing import NDArray

Values = NDArray[np.float64]
BETTER = "use the LSTM"


def random_walk(rows: int, random: np.random.Generator) -> Values:
    """Sums of normal steps, far from zero."""
    return 100 + random.standard_normal(rows).cumsum()


def white_noise(rows: int, random: np.random.Generator) -> Values:
    """Independent normal values."""
    return 10 + random.standard_normal(rows)


def mackey_glass(rows: int, random: np.random.Generator) -> Values:
    """x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, every six units of time, by Euler steps of 0.1.

    Source: Mackey and Glass (1977), "Oscillation and chaos in physiological control systems"; the constants and the
    sampling usual in benchmarks since Lapedes and Farber (1987).
    """
    step, lag, every, warm_up = 0.1, 170, 60, 5_000
    x = np.empty(lag + warm_up + rows * every)
    x[: lag + 1] = 1.2 + 0.1 * random.standard_normal(lag + 1)
    for i in range(lag, len(x) - 1):
        delayed = x[i - lag]
        x[i + 1] = x[i] + step * (0.2 * delayed / (1 + delayed**10) - 0.1 * x[i])
    return x[lag + warm_up :: every]


@dataclass(frozen=True)
class Kind:
    """A generated series and what its verdict should be.

    Attributes:
        generate: (rows, generator) -> values.
        rows: how many.
        time_limit_s: seconds of the search.
        is_learnable: whether a network can be better than every baseline.
    """

    generate: Callable[[int, np.random.Generator], Values]
    rows: int
    time_limit_s: float
    is_learnable: bool


KINDS = {
    "random walk": Kind(random_walk, 300, 60, False),
    "white noise": Kind(white_noise, 300, 60, False),
    "Mackey-Glass": Kind(mackey_glass, 1_500, 180, True),
}
"""Name to series; a network needs thousands of steps of training for the last."""


@dataclass(frozen=True)
class Job:
    """One run to make.

    Attributes:
        kind: a key of `KINDS`.
        seed: of the values and of the search.
        trials: trials at most.
        concurrent: trials at once; None for as many as there are cores.
        folder: where table and run go.
    """

    kind: str
    seed: int
    trials: int
    concurrent: int | None
    folder: Path


def measure(job: Job) -> Record:
    """One line of the results."""
    kind, known = KINDS[job.kind], {"kind": job.kind, "seed": job.seed, "trials": job.trials}
    table = job.folder.parent / f"{job.folder.name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    values = kind.generate(kind.rows, np.random.default_rng([job.seed, kind.rows]))
    pl.DataFrame({"t": np.arange(len(values)), "y": values}).write_csv(table)
    overrides = [f"search.trials={job.trials}", f"search.time_limit={kind.time_limit_s:g}s", f"search.seed={job.seed}"]
    overrides += [f"resources.max_concurrent={job.concurrent}"] if job.concurrent else []
    try:
        finished, seconds = run(initialised(table, job.folder), overrides)
    except RunFailedError as error:
        return {**known, "error": str(error)}
    verdict, test = finished.verdict, finished.last("test_scored")
    found = {key: verdict[key] for key in ("advice", "baseline", "p_value", "expected")}
    scores = {"test": test["score"], "baseline_test": test["baselines"][verdict["baseline"]]}
    return {**known, "run_s": round(seconds, 1), "ended": len(finished.ends()), **scores, **found}


def figures_of(records: Sequence[Record]) -> list[Figure]:
    """How often the verdict was right."""
    noise = [record for record in records if not KINDS[record["kind"]].is_learnable]
    signal = [record for record in records if KINDS[record["kind"]].is_learnable]
    said_no = sum(record["advice"] != BETTER for record in noise)
    plain_no = sum(record["advice"] == "prefer the baseline" for record in noise)
    said_yes = sum(record["advice"] == BETTER for record in signal)
    allowed = len(noise) // 20
    return [
        Figure(
            f"noise: the LSTM is not called better, of {len(noise)}",
            said_no,
            f">= {len(noise) - allowed}",
            bool(noise) and said_no >= len(noise) - allowed,
        ),
        Figure(f"noise: the baseline is preferred outright, of {len(noise)}", plain_no),
        Figure(
            f"Mackey-Glass: the LSTM is called better, of {len(signal)}",
            said_yes,
            f"{len(signal)}",
            bool(signal) and said_yes == len(signal),
        ),
    ]


def main() -> None:
    """The program."""
    arguments = _arguments()
    wanted = [(kind, seed) for kind in ("random walk", "white noise") for seed in range(arguments.noise)]
    wanted += [("Mackey-Glass", seed) for seed in range(arguments.learnable)]
    done = _done(arguments)
    jobs = [
        Job(kind, seed, arguments.trials, arguments.concurrent or (1 if arguments.jobs > 1 else None), folder)
        for kind, seed in wanted
        if (kind, seed) not in done
        for folder in [arguments.lines.parent / f"{kind.lower().replace(' ', '-')}-{seed}"]
    ]
    work_through(jobs, measure, lines=arguments.lines, workers=arguments.jobs, limit_s=arguments.limit)
    records = list(_done(arguments).values())
    columns = ("kind", "seed", "advice", "test", "baseline", "baseline_test", "p_value", "ended", "run_s")
    show("verdicts", columns, [[record[column] for column in columns] for record in records])
    settings = {"trials": arguments.trials}
    conclude("verdicts", figures_of(records), output=arguments.output, settings=settings, rows=records)


def _done(arguments: argparse.Namespace) -> dict[tuple[str, int], Record]:
    good = [record for record in read_records(arguments.lines) if "error" not in record]
    return {(r["kind"], r["seed"]): r for r in good if r["trials"] == arguments.trials}


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="verdicts.json")
    parser.add_argument(
        "--lines", type=Path, default=RESULTS / "verdicts" / "runs.ndjson", help="a line a run; goes on"
    )
    parser.add_argument("--noise", type=int, default=10, help="random walks, and as many series of white noise")
    parser.add_argument("--learnable", type=int, default=3, help="Mackey-Glass series")
    parser.add_argument("--trials", type=int, default=20, help="trials of a search")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--concurrent", type=int, help="trials at once in a run; 1 with several jobs, else the cores")
    parser.add_argument("--limit", type=float, help="seconds after which no further run is begun")
    return parser.parse_args()


if __name__ == "__main__":
    main()
