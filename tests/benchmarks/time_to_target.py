"""How much sooner the search is as good as random search: seconds to the same error, on eight files.

Both search the same space that `lstm-tune init` wrote, for the same time. Ours is the product's: TPE, asynchronous
halving, patience, the default configuration and the portfolio first. Random search stops nothing early, neither a trial
nor its training (`--patience` gives it one), and its trial 0, the default configuration, does not count: nobody would
know it, and so that it costs no time either, the search may take longer by as much. At moments of each search the trial
that would be chosen then is given its expected error on new data, as the verdict states it: corrected for having been
chosen. Ours chooses by its own rule, random search takes the best fold mean; a second figure lets both do the latter.
As the order in which chance draws its configurations is chance too, random search's error at a moment is the median
over many orders of its trials. The target is random search's at its end, and whoever comes within 1 % of it has reached
it. Where ours never does, its whole time counts.
"""

import argparse
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from benchmarking import (
    RESULTS,
    Figure,
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
from files import fitting_folds
from speed_figures import Training, geometric_mean, reached, shuffled_ends, speedup, thinned

from lstm_tune.selection.choice import RULES
from lstm_tune.selection.estimates import bias_corrected
from lstm_tune.selection.out_of_fold import OutOfFold, from_table
from lstm_tune.selection.rules import DefaultTrial
from lstm_tune.tasks.metrics import FORECAST_METRICS

FILES = (
    "airpassengers",  # months, trend and a growing season
    "elec_equip_eu",  # months, a business cycle
    "sunspots_monthly",  # a long cycle without a season
    "us_births_1969_1988",  # days, two seasons
    "taylor_demand",  # half hours, two seasons, the longest
    "hyndsight_views",  # days, noisy
    "visnights_quarterly",  # a small panel
    "au_arrivals_quarterly",  # a small panel
)
WITHIN = 0.01
MOMENTS = 200
"""Moments of a search at which the trial that would be chosen is judged."""

ORDERS = 100
"""Orders of random search's trials."""

REPEATS = 300
"""Resamples of the correction."""

DEFAULT_TRIAL = 0
"""Every search begins with the default configuration."""

BY_MEAN = "best"
"""The rule of choice of a search without care: the best fold mean."""

ENDLESS = 100_000
"""Trials that no time limit allows, and a patience that no training exhausts."""

SEARCHES = {
    "ours": ["search.sampler=tpe", "search.scheduler=asha"],
    "random": ["search.sampler=random", "search.scheduler=none"],
}
COLUMNS = (
    "file",
    "seed",
    "ours_trials",
    "random_trials",
    "target",
    "ours_s",
    "random_s",
    "speedup",
    "speedup_by_mean",
    "test_ratio",
)


@dataclass(frozen=True)
class Job:
    """Both searches of one file.

    Attributes:
        file: the data.
        seed: of the searches.
        time_limit_s: seconds of each.
        patience: of random search's training, in epochs or `auto`.
        folder: where the runs go.
    """

    file: SeriesFile
    seed: int
    time_limit_s: float
    patience: str
    folder: Path


def search(job: Job, name: str, *, more_s: float = 0.0) -> Finished:
    """One of the two searches, which may take some seconds more than the job's."""
    space = initialised(job.file.path, job.folder / name)
    overrides = [f"task.horizon={job.file.horizon}", f"validation.test={job.file.horizon}", *SEARCHES[name]]
    if job.file.path.suffix == ".csv":  # one series, for which `init` does not know how many folds fit the horizon
        steps = pl.read_csv(job.file.path).height
        folds = fitting_folds(4, steps=steps, horizon=job.file.horizon)
        overrides += [f"task.season={job.file.season}", f"validation.folds={folds}"]
    if name == "random":
        overrides.append(f"training.patience_epochs={job.patience}")
    overrides += [f"search.trials={ENDLESS}", "search.stop_when_stale=null", f"search.seed={job.seed}"]
    return run(space, [*overrides, f"search.time_limit={round(job.time_limit_s + more_s)}s"])[0]


def default_s(finished: Finished) -> float:
    """How long the default configuration of a search would have trained, had patience not ended it."""
    end = finished.ends()[DEFAULT_TRIAL]
    return float(end["seconds"] * finished.experiment.training.max_epochs / end["epochs"])


Curve = list[tuple[float, float]]
"""Moments of a search, in seconds, and the expected error of the trial that would be chosen then."""


def our_curve(finished: Finished, losses: OutOfFold, rule: str) -> Curve:
    """From the first trial that was given out, with a rule of choice by name."""
    corrected = _corrected(finished, losses, rule)
    began = _began(finished)
    ends = {trial: at_s - began for trial, at_s in _known(finished, losses, "at_s").items()}
    scored = sorted(end["at_s"] - began for end in finished.ends().values() if end["score"] is not None)
    return [
        (at, corrected(frozenset(trials), rivals=bisect_right(scored, at) - 1)) for at, trials in thinned(ends, MOMENTS)
    ]


def random_curve(finished: Finished, losses: OutOfFold, *, limit_s: float) -> Curve:
    """The median over orders of its trials, by the same clock, from the moment the first of them could have ended.

    A trial that the time limit cut off would have gone on in another order, so it is no sooner known there.
    """
    corrected = _corrected(finished, losses, BY_MEAN)
    ready = _ready(finished)
    trainings = _trainings(finished, losses, limit_s=limit_s - ready)
    trials = {trial: took for trial, took in trainings.items() if trial != DEFAULT_TRIAL}
    if not trials:
        raise RunFailedError("random search had no trial beside the default configuration")
    slots, generator = finished.last("run_started")["slots"], np.random.default_rng(0)
    orders = [
        shuffled_ends(trials, slots=slots, ready=ready, limit_s=limit_s, generator=generator) for _ in range(ORDERS)
    ]
    first = min(min(ends.values()) for ends in orders)
    return [
        (at, median(corrected(frozenset(trial for trial, end in ends.items() if end <= at)) for ends in orders))
        for at in np.geomspace(first, limit_s, MOMENTS).tolist()
    ]


def _began(finished: Finished) -> float:
    """When the first trial was given to a worker, in seconds of the run."""
    return float(min(event["at_s"] for event in finished.events if event["event"] == "trial_started"))


def _ready(finished: Finished) -> float:
    """Seconds from then until a worker had started and trained."""
    return float(min(end["at_s"] - end["seconds"] for end in finished.ends().values())) - _began(finished)


def _trainings(finished: Finished, losses: OutOfFold, *, limit_s: float) -> dict[int, Training]:
    """How long each trial that has out-of-fold losses trained, and would have, had nothing stopped it.

    One that was cut off later than a limit is taken to have come as far by then.
    """
    ends, epochs = finished.ends(), finished.experiment.training.max_epochs

    def training(end: Record) -> Training:
        seconds = float(end["seconds"])
        if str(end["reason"]).startswith("cut off"):
            return Training(min(seconds, limit_s), seconds * epochs / end["epochs"])
        return Training(seconds, seconds)

    return {trial: training(ends[trial]) for trial in losses.trials.tolist()}


def _known(finished: Finished, losses: OutOfFold, field: str) -> dict[int, float]:
    """A field of the end of each trial that has out-of-fold losses."""
    ends = finished.ends()
    return {trial: float(ends[trial][field]) for trial in losses.trials.tolist()}


def _corrected(finished: Finished, losses: OutOfFold, rule: str) -> Callable[..., float]:
    """The expected error of what would be chosen among some trials, if the default configuration had so many rivals by
    then; infinite of none."""
    finish = FORECAST_METRICS[finished.experiment.search.metric].finish
    blocks = int((losses.folds == losses.folds.max()).sum())
    parameters = {trial: end["parameters"] for trial, end in finished.ends().items()}

    @cache
    def corrected(trials: frozenset[int], rivals: int = 0) -> float:
        if not trials:
            return np.inf
        some = losses.of(sorted(trials))
        sizes = np.array([parameters[trial] for trial in some.trials.tolist()], dtype=np.int64)
        chooses = RULES[rule].resampled(some, sizes, finish, DefaultTrial(DEFAULT_TRIAL, rivals))
        return bias_corrected(some, finish=finish, rule=chooses, test_blocks=blocks, seed=0, repeats=REPEATS).corrected

    return corrected


def measure(job: Job) -> Record:
    """One line of the results."""
    known = {"file": job.file.name, "seed": job.seed, "time_limit_s": job.time_limit_s, "patience": job.patience}
    try:
        ours_run = search(job, "ours")
        runs = {"ours": ours_run, "random": search(job, "random", more_s=default_s(ours_run))}
        ours, chance = (from_table(pl.read_parquet(finished.paths.out_of_fold)) for finished in runs.values())
        curves = {
            "ours": our_curve(runs["ours"], ours, runs["ours"].experiment.output.choice),
            "ours_by_mean": our_curve(runs["ours"], ours, BY_MEAN),
            "random": random_curve(runs["random"], chance, limit_s=job.time_limit_s),
        }
    except RunFailedError as error:  # no trial came to its end in time
        return {**known, "error": str(error)}
    target = curves["random"][-1][1] * (1 + WITHIN)
    at = {name: reached(curve, target) for name, curve in curves.items()}
    random_s = at["random"]
    assert random_s is not None, "random search is at its own end"
    scores = {name: finished.last("test_scored")["score"] for name, finished in runs.items()}
    return {
        **known,
        **{f"{name}_trials": len(finished.ends()) for name, finished in runs.items()},
        "target": target,
        **{f"{name}_s": seconds for name, seconds in at.items()},
        "speedup": speedup(at["ours"], random_s, limit_s=job.time_limit_s),
        "speedup_by_mean": speedup(at["ours_by_mean"], random_s, limit_s=job.time_limit_s),
        "test_ratio": scores["ours"] / scores["random"],
        "curves": curves,
    }


def figures_of(records: Sequence[Record]) -> list[Figure]:
    """The ratio of times beside its target, also file by file, and that the tested models are no worse."""
    ratio, mean_ratio = (
        geometric_mean([record[name] for record in records]) for name in ("speedup", "speedup_by_mean")
    )
    missed = sum(record["ours_s"] is None for record in records)
    tested = geometric_mean([record["test_ratio"] for record in records])
    return [
        Figure("runs", len(records)),
        Figure.at_least("time of random search / ours to the same error, geometric mean", ratio, 4),
        Figure("the same where ours, too, chooses the best fold mean", mean_ratio),
        Figure("runs in which ours never reached it", missed),
        Figure.at_most("test error, ours / random search, geometric mean", tested, 1),
        *(Figure(f"{file}: time of random search / ours", value) for file, value in by_file(records).items()),
    ]


def by_file(records: Sequence[Record]) -> dict[str, float]:
    """The ratio of times of each file, over its seeds."""
    files = dict.fromkeys(record["file"] for record in records)
    return {file: geometric_mean([r["speedup"] for r in records if r["file"] == file]) for file in files}


def main() -> None:
    """The program."""
    arguments = _arguments()
    known = [*series_files(arguments.data, "univariate"), *series_files(arguments.data, "panel")]
    jobs = [
        Job(file, seed, arguments.time_limit, arguments.patience, arguments.lines.parent / f"{file.name}-{seed}")
        for seed in range(arguments.seeds)
        for file in chosen_files(known, arguments.files)
    ]
    if not arguments.summary:
        done = {(record["file"], record["seed"]) for record in _done(arguments)}
        left = [job for job in jobs if (job.file.name, job.seed) not in done]
        work_through(left, measure, lines=arguments.lines, workers=1, limit_s=arguments.limit)
    records = _done(arguments)
    if not records:
        raise SystemExit("no run has ended yet")
    show("seconds to the target", COLUMNS, [[record[column] for column in COLUMNS] for record in records])
    seeds = sorted({record["seed"] for record in records})
    settings = {"time_limit_s": arguments.time_limit, "patience": arguments.patience, "seeds": seeds}
    conclude("time_to_target", figures_of(records), output=arguments.output, settings=settings, rows=records)


def _done(arguments: argparse.Namespace) -> list[Record]:
    good = [record for record in read_records(arguments.lines) if "error" not in record]
    settings = (arguments.time_limit, arguments.patience)
    wanted = [record for record in good if (record["time_limit_s"], record["patience"]) == settings]
    return list({(record["file"], record["seed"]): record for record in wanted}.values())


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="time_to_target.json")
    add_data_option(parser)
    lines = RESULTS / "time_to_target" / "runs.ndjson"
    parser.add_argument("--lines", type=Path, default=lines, help="a line a file and seed; goes on")
    parser.add_argument("--files", nargs="+", default=list(FILES), help="names of files")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each file")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds of a search")
    parser.add_argument("--patience", default=str(ENDLESS), help="of random search's training, in epochs or `auto`")
    parser.add_argument("--limit", type=float, help="seconds after which no further file is begun")
    parser.add_argument("--summary", action="store_true", help="only show the figures of the runs so far")
    return parser.parse_args()


if __name__ == "__main__":
    main()
