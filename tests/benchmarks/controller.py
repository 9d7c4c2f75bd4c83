"""What the controller costs: trials that train nothing, through the real study, searcher, recorder and pool.

Between two trials a worker waits for the sampler, for events on the disk, and for Ray. Real trials hide that behind
training as long as it is short; here nothing hides it. Workers are warm before the clock starts: the time of a trial is
taken between the ends of trials. Each row has a process of its own, so that its memory is its own.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarking import Figure, Record, conclude, options, show
from idle_runs import idle_run, search_idly, session_of
from idle_worker import Manner
from processes import in_own_process, peak_mb, resident_mb
from speed_figures import growth, per_trial_ms, slope

from lstm_tune.search.cluster import running_ray
from lstm_tune.search.placement import Slot
from lstm_tune.spec.events import Stamped, TrialEnded, TrialReported

EPOCHS = (1, 3, 9)
"""A trial's three reports, at the rungs that halving has for nine epochs and at the end."""

MANY = 33
"""Reports of a trial where the cost of one is measured."""

WORKERS = 2
SAMPLE_EVERY = 50
"""Trials between two looks at the driver's memory."""


@dataclass(frozen=True)
class Case:
    """One row to measure.

    Attributes:
        sampler: of the search.
        scheduler: of the search.
        trials: how many.
        reports: of each trial that nobody stops.
    """

    sampler: str
    scheduler: str
    trials: int
    reports: int = len(EPOCHS)

    @property
    def epochs(self) -> tuple[int, ...]:
        return EPOCHS if self.reports == len(EPOCHS) else tuple(range(1, self.reports + 1))

    @property
    def name(self) -> str:
        return f"{self.sampler}, {self.scheduler}, {self.trials:,} trials"


@dataclass
class Watch:
    """Listens to a run: when trials ended, how many reports there were, and how the driver's memory grew."""

    ends: list[float]
    memory: list[tuple[int, float]]
    reports: int = 0

    def __call__(self, stamped: Stamped) -> None:
        self.reports += isinstance(stamped.event, TrialReported)
        if isinstance(stamped.event, TrialEnded):
            self.ends.append(stamped.at_s)
            if len(self.ends) % SAMPLE_EVERY == 0:
                self.memory.append((len(self.ends), resident_mb()))


def measure(case: Case) -> Record:
    """Runs a case's search; to be called in a process of its own."""
    watch = Watch([], [])
    with TemporaryDirectory() as folder:
        run = idle_run(
            Path(folder) / "run",
            trials=case.trials,
            max_epochs=case.epochs[-1],
            sampler=case.sampler,
            scheduler=case.scheduler,
        )
        with running_ray(run.paths.logs), session_of(run, [watch]) as session:
            manner = Manner(case.epochs, blocks=len(session.task.blocks()[0]))
            search_idly(session, manner, slot=Slot(1, 0), workers=WORKERS)
    later = [entry for entry in watch.memory if entry[0] > case.trials / 5]  # buffers have their size by then
    share = min(1_000, case.trials // 5)
    return {
        "sampler": case.sampler,
        "scheduler": case.scheduler,
        "trials": len(watch.ends),
        "reports": watch.reports,
        "ms_per_trial": per_trial_ms(watch.ends),
        "share": share,
        "growth": growth(watch.ends, share=share),
        "peak_mb": peak_mb(),
        "kb_per_trial": slope(*zip(*later, strict=True)) * 1e3 if len(later) > 1 else math.nan,
    }


def cases(arguments: argparse.Namespace) -> list[Case]:
    """All rows; the last one has many reports a trial."""
    found = [
        Case(sampler, scheduler, trials)
        for trials in arguments.trials
        for sampler in arguments.samplers
        for scheduler in arguments.schedulers
    ]
    return [*found, Case("random", "none", max(10, min(arguments.trials)), MANY)]


def figures_of(rows: list[Record], measured: list[Case]) -> list[Figure]:
    """Costs beside their targets, for each row."""
    found = []
    for case, row in zip(measured[:-1], rows[:-1], strict=True):
        cost = row["ms_per_trial"]
        is_judged = case.trials == 1_000
        name = f"{case.name}: ms a trial"
        found.append(Figure.at_most(name, cost, 30) if is_judged else Figure(name, cost))
        if case.trials >= 5_000:
            name = f"{case.name}: last {row['share']:,} trials / first {row['share']:,}"
            found.append(Figure.at_most(name, row["growth"], 1.3))
            name = f"{case.name}: kB of the driver's memory a trial"
            found.append(Figure.at_most(name, row["kb_per_trial"], 30))
    return [*found, *_of_a_report(rows)]


def _of_a_report(rows: list[Record]) -> list[Figure]:
    """A report's share of a trial's cost: what thirty more reports cost, in the smallest search without a scheduler."""
    many, plain = rows[-1], [row for row in rows[:-1] if (row["sampler"], row["scheduler"]) == ("random", "none")]
    if not plain:
        return []
    few = min(plain, key=lambda row: abs(row["trials"] - many["trials"]))
    return [Figure("ms a report", (many["ms_per_trial"] - few["ms_per_trial"]) / (MANY - len(EPOCHS)))]


def main() -> None:
    """The program."""
    arguments = _arguments()
    measured = cases(arguments)
    rows = [in_own_process(measure, case) for case in measured]
    columns = [column for column in rows[0] if column != "share"]
    show("searches whose trials train nothing", columns, [[row[column] for column in columns] for row in rows])
    settings = {"workers": WORKERS, "reports a trial": len(EPOCHS)}
    conclude("controller", figures_of(rows, measured), output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="controller.json")
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1_000, 5_000], help="trials of the searches")
    parser.add_argument("--samplers", nargs="+", default=["tpe", "random"], help="samplers")
    parser.add_argument("--schedulers", nargs="+", default=["none", "asha"], help="schedulers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
