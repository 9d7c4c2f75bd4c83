"""Short single series: accuracy, overtuning, and whether the expected error holds.

Each file is searched with each seed by the command line. Then the space's default configuration and the best of the
search, as a naive tool would choose it, get the same final training as the winner, and all are scored on the test part.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from benchmarking import (
    RESULTS,
    Finished,
    Record,
    RunFailedError,
    SeriesFile,
    add_data_option,
    chosen_files,
    conclude,
    initialised,
    options,
    read_records,
    run,
    series_files,
    show,
    work_through,
)
from file_figures import BY_FILE, RATIOS, by_file, figures_of, ratios
from refits import Refits

from lstm_tune.spec.errors import LstmTuneError
from lstm_tune.spec.loading import load_experiment
from lstm_tune.tasks.statistical import is_installed

BASELINES = ("seasonal naive", "ridge", "Theta", "ETS")


@dataclass(frozen=True)
class Job:
    """One run to make and to judge.

    Attributes:
        file: the data.
        seed: of the search.
        trials: trials at most.
        time_limit_s: seconds of the search.
        concurrent: trials at once; None for as many as there are cores.
        folder: where the run goes.
    """

    file: SeriesFile
    seed: int
    trials: int
    time_limit_s: float
    concurrent: int | None
    folder: Path


def measure(job: Job) -> Record:
    """One line of the results."""
    known = {"file": job.file.name, "seed": job.seed, "trials": job.trials, "time_limit_s": job.time_limit_s}
    started = time.monotonic()
    try:
        finished, run_s = _run(job)
        found = judged(finished)
    except (RunFailedError, LstmTuneError) as error:  # a configuration may diverge in its final training
        return {**known, "error": str(error)}
    return {**known, "run_s": round(run_s, 1), "seconds": round(time.monotonic() - started, 1), **found}


def judged(finished: Finished) -> Record:
    """What a run chose, claimed and reached, and what two simpler choices from its trials would have reached."""
    refits, verdict = Refits.of(finished), finished.verdict
    winner, test = finished.last("winner_chosen"), finished.last("test_scored")["score"]
    ends = finished.ends()
    scored = {trial: end for trial, end in ends.items() if end["score"] is not None and end["state"] != "failed"}
    best = min(scored, key=lambda trial: scored[trial]["score"])
    is_single = not winner.get("members") or len(winner["members"]) == 1
    known = {winner["trial"]: test} if is_single else {}
    for trial in (0, best):
        if trial not in known:
            known[trial] = refits.test_score(trial)
    return {
        "ended": len(ends),
        "complete": sum(end["state"] == "complete" for end in ends.values()),
        "networks": finished.networks,
        "winner": winner["trial"],
        "is_default": is_single and winner["trial"] == 0,
        "reason": winner["reason"],
        "members": winner.get("members"),
        "test": test,
        "default_test": known[0],
        "best": best,
        "best_validation": scored[best]["score"],
        "best_error": scored[best]["standard_error"],
        "best_test": known[best],
        "baselines": {name: refits.baseline(name) for name in _baselines(finished)},
        **{key: verdict[key] for key in ("expected", "low", "high", "naive", "advice", "baseline", "p_value")},
    }


def _baselines(finished: Finished) -> list[str]:
    """Without a season the seasonal naive is the last value and goes by that name."""
    is_seasonal = "seasonal naive" in finished.last("test_scored")["baselines"]
    return ["seasonal naive" if is_seasonal else "last value", *BASELINES[1:]]


def _run(job: Job) -> tuple[Finished, float]:
    space = initialised(job.file.path, job.folder)
    written = load_experiment(space)
    horizon, steps = job.file.horizon, _steps(job.file.path)
    overrides = [f"task.horizon={horizon}", f"task.season={job.file.season}", f"validation.test={horizon}"]
    overrides += [f"validation.folds={fitting_folds(written.validation.folds, steps=steps, horizon=horizon)}"]
    overrides += [f"search.trials={job.trials}", f"search.time_limit={job.time_limit_s:g}s", f"search.seed={job.seed}"]
    overrides += [f"resources.max_concurrent={job.concurrent}"] if job.concurrent else []
    return run(space, overrides)


def _steps(path: Path) -> int:
    return pl.read_csv(path).height


def fitting_folds(wanted: int, *, steps: int, horizon: int) -> int:
    """As many of the folds that `init` wrote as leave a horizon to train on; `init` did not know of the horizon."""
    return max(1, min(wanted, (steps - horizon) // horizon - 1))


def summarise(records: Sequence[Record], *, output: Path, settings: Record) -> None:
    """Prints and writes the figures of all runs so far."""
    good = [record for record in records if "error" not in record]
    for record in records:
        if "error" in record:
            show(f"failed: {record['file']}, seed {record['seed']}", ["error"], [[record["error"]]])
    if not good:
        raise SystemExit("no run has ended yet")
    rows = by_file(good)
    show("test MASE, mean over the seeds", BY_FILE, [[row[column] for column in BY_FILE] for row in rows])
    show("errors beside each other, by run", RATIOS, [[row[column] for column in RATIOS] for row in ratios(good)])
    conclude("files", figures_of(good), output=output, settings=settings, rows=rows)


def main() -> None:
    """The program."""
    arguments = _arguments()
    lines, settings = arguments.lines, {"trials": arguments.trials, "time_limit_s": arguments.time_limit}
    if not arguments.summary:
        if not is_installed():
            raise SystemExit('Theta and ETS are among the bars: pip install "lstm-tune[baselines]"')
        files = chosen_files(series_files(arguments.data, "univariate"), arguments.files)
        done = {(r["file"], r["seed"]) for r in _of(settings, read_records(lines)) if "error" not in r}
        concurrent = arguments.concurrent or (1 if arguments.jobs > 1 else None)
        jobs = [
            Job(file, seed, arguments.trials, arguments.time_limit, concurrent, lines.parent / f"{file.name}-{seed}")
            for seed in range(arguments.seeds)
            for file in files
            if (file.name, seed) not in done
        ]
        work_through(jobs, measure, lines=lines, workers=arguments.jobs, limit_s=arguments.limit)
    latest = {(r["file"], r["seed"]): r for r in _of(settings, read_records(lines))}
    summarise(list(latest.values()), output=arguments.output, settings=settings)


def _of(settings: Record, records: Sequence[Record]) -> list[Record]:
    return [record for record in records if all(record[key] == value for key, value in settings.items())]


def _arguments() -> argparse.Namespace:
    parser = options(__doc__ or "", output="files.json")
    add_data_option(parser)
    parser.add_argument("--lines", type=Path, default=RESULTS / "files" / "runs.ndjson", help="a line a run; goes on")
    parser.add_argument("--files", nargs="+", help="names of files; all of them by default")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each file")
    parser.add_argument("--trials", type=int, default=30, help="trials of a search")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds of a search")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--concurrent", type=int, help="trials at once in a run; 1 with several jobs, else the cores")
    parser.add_argument("--limit", type=float, help="seconds after which no further run is begun")
    parser.add_argument("--summary", action="store_true", help="only show the figures of the runs so far")
    return parser.parse_args()


if __name__ == "__main__":
    main()
