"""One controller against many workers: the share of their time that workers spend on trials.

Workers sleep instead of training and report each second, so many fit on one machine. They wait for each other before
their first trial, as starting processes is no question here; from then on until the last trial begins there is work for
all of them, and whatever they do not spend on it they have waited for the controller. The same searches give what a
trial and a report cost the driver's processor, from which the table for more workers is computed, not measured.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from benchmarking import Figure, Record, conclude, options, show
from idle_runs import idle_run, search_idly, session_of
from idle_worker import Manner
from processes import in_own_process, resident_mb
from speed_figures import Span, controller_costs, extrapolated, utilisation

from lstm_tune.search.placement import Slot
from lstm_tune.spec.events import Stamped, TrialEnded, TrialReported

SLOT = Slot(0.01, 0)
"""A hundred such workers fit on a core, for they sleep."""

FEWEST_EACH = 4
"""Trials of a worker at least, the first and the last of which are counted in part."""

LARGE = (128, 1_000, 4_000)
"""Workers of the computed table."""

TARGETS = {(32, 5.0): 0.95, (128, 30.0): 0.90}
"""Workers and seconds a trial, to the utilisation asked for."""


@dataclass(frozen=True)
class Case:
    """One row to measure.

    Attributes:
        workers: at once.
        trial_s: seconds of a trial on average.
        measured_s: seconds that the search takes, about.
        sampler: of the search.
    """

    workers: int
    trial_s: float
    measured_s: float
    sampler: str

    @property
    def trials(self) -> int:
        return self.workers * max(FEWEST_EACH, round(self.measured_s / self.trial_s))


@dataclass
class Watch:
    """Listens to a run.

    Attributes:
        spans: where and when trials ran.
        reports: how many there were.
        spent: at each trial's end, how many reports there were and what the driver's processor has spent.
    """

    spans: list[Span] = field(default_factory=list)
    reports: int = 0
    spent: list[tuple[int, float]] = field(default_factory=list)

    @property
    def costs(self) -> tuple[int, int, float]:
        """Trials, reports and processor seconds from the end of the first trial on."""
        (reports, seconds), (all_reports, all_seconds) = self.spent[0], self.spent[-1]
        return len(self.spent) - 1, all_reports - reports, all_seconds - seconds

    def __call__(self, stamped: Stamped) -> None:
        self.reports += isinstance(stamped.event, TrialReported)
        if isinstance(stamped.event, TrialEnded):
            worker, begun, ended = stamped.event.reason.split()
            self.spans.append(Span(worker, float(begun), float(ended)))
            self.spent.append((self.reports, time.process_time()))


def measure(case: Case) -> Record:
    """Runs a case's search on a Ray of its own; to be called in a process of its own.

    The product's own Ray makes each worker load torch beforehand, for which there is no room with a hundred of them.
    """
    watch = Watch()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run = idle_run(
            Path(folder) / "run", trials=case.trials, max_epochs=1_000, sampler=case.sampler, scheduler="none"
        )
        gate = Path(folder) / "gate"
        gate.mkdir()
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        ray.init("local", num_cpus=2, _temp_dir=str(Path(folder) / "ray"), **quiet)
        try:
            with session_of(run, [watch]) as session:
                manner = Manner(trial_s=case.trial_s, gate=str(gate), workers=case.workers)
                search_idly(session, manner, slot=SLOT, workers=case.workers)
        finally:
            ray.shutdown()
    trials, reports, cpu_s = watch.costs
    return {
        "workers": case.workers,
        "trial_s": case.trial_s,
        "trials": trials,
        "reports": reports,
        "utilisation": utilisation(watch.spans),
        "driver_cpu_s": cpu_s,
        "driver_mb": resident_mb(),
    }


def figures_of(rows: Sequence[Record]) -> list[Figure]:
    """Utilisation beside its targets."""
    found = []
    for row in rows:
        name = f"{row['workers']} workers, trials of {row['trial_s']:g} s: utilisation"
        target = TARGETS.get((row["workers"], row["trial_s"]))
        value = row["utilisation"]
        found.append(Figure(name, value) if target is None else Figure.at_least(name, value, target))
    return found


def computed(rows: Sequence[Record]) -> list[Figure]:
    """Costs of a trial and a report, and what they allow with more workers."""
    trial_s, report_s = controller_costs([(row["trials"], row["reports"], row["driver_cpu_s"]) for row in rows])
    found = [Figure("driver's processor, ms a trial", trial_s * 1e3)]
    found += [Figure("driver's processor, ms a report", report_s * 1e3)]
    for workers in LARGE:
        for seconds in sorted({row["trial_s"] for row in rows}):
            share = extrapolated(workers, trial_s=seconds, cost_trial_s=trial_s, cost_report_s=report_s)
            found.append(Figure(f"computed: {workers:,} workers, trials of {seconds:g} s: utilisation at most", share))
    return found


def main() -> None:
    """The program."""
    arguments = _arguments()
    rows = []
    for workers in arguments.workers:
        for trial_s in arguments.trial_s:
            case = Case(workers, trial_s, arguments.measured_s, arguments.sampler)
            rows.append(in_own_process(measure, case))
    show("workers that sleep", list(rows[0]), [list(row.values()) for row in rows])
    figures = [*figures_of(rows), *computed(rows)]
    settings = {"measured_s": arguments.measured_s, "sampler": arguments.sampler}
    conclude("scale_out", figures, output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="scale_out.json")
    parser.add_argument("--workers", nargs="+", type=int, default=[8, 32, 128], help="workers at once")
    parser.add_argument(
        "--trial-s", nargs="+", type=float, default=[1.0, 5.0, 30.0], help="seconds of a trial, on average"
    )
    parser.add_argument(
        "--measured-s", type=float, default=60.0, help="seconds of a search, about; four trials a worker at least"
    )
    parser.add_argument("--sampler", default="tpe", help="sampler")
    return parser.parse_args()


if __name__ == "__main__":
    main()
