"""One process's work on a run: what its stages share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from lstm_tune.bundle.files import Preprocessing
from lstm_tune.search.crew import Crew
from lstm_tune.search.proposals import defaults, whole
from lstm_tune.search.recorder import Recorder
from lstm_tune.selection.losses import Blocks, LossStore
from lstm_tune.selection.out_of_fold import Finish
from lstm_tune.selection.records import TrialRecord, trial_records
from lstm_tune.selection.rules import DefaultTrial
from lstm_tune.selection.tables import write_tables
from lstm_tune.spec.events import BaselineScored, TrialEnded, read_events
from lstm_tune.spec.experiment import Experiment, TrainingSpec
from lstm_tune.spec.paths import RunPaths, remote_address
from lstm_tune.tasks.assembly import Prepared
from lstm_tune.tasks.baselines import BaselineScore, score_baseline
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.metrics import FORECAST_METRICS
from lstm_tune.training.fold import Patience, Portions


@dataclass(frozen=True)
class Session:
    """What the stages of a run share.

    Attributes:
        experiment: the resolved experiment.
        prepared: its data, folds and space.
        paths: the run's files.
        record: takes events.
        crew: workers that one stage leaves to the next.
    """

    experiment: Experiment
    prepared: Prepared
    paths: RunPaths
    record: Recorder
    crew: Crew = field(default_factory=Crew)

    @property
    def task(self) -> ForecastTask:
        """The question put to the data."""
        return self.prepared.task

    @property
    def preprocessing(self) -> Preprocessing:
        """How a table becomes a network's input."""
        panel = self.prepared.panel
        return Preprocessing(
            columns=panel.columns,
            frequency=panel.frequency,
            missing=self.experiment.data.missing,
            past=panel.past_features,
            known=panel.known_features,
            static=panel.static_features,
        )

    @property
    def remote(self) -> str | None:
        """The address of the run's copy; None without one."""
        return remote_address(self.experiment.output.directory, self.paths)

    @property
    def finish(self) -> Finish:
        """What the metric does with a fold's ratio."""
        return FORECAST_METRICS[self.task.metric].finish

    def default_trial(self, ends: Iterable[TrialEnded], *, tried: int) -> DefaultTrial | None:
        """The trial among these that ran the default configuration to its end; every search but a grid's begins so.

        Args:
            ends: how trials ended.
            tried: configurations that the search scored, this one among them.
        """
        wanted = defaults(self.prepared.space).items()
        trial = next((end.trial for end in ends if wanted <= end.hyperparameters.items()), None)
        return None if trial is None else DefaultTrial(trial, tried - 1)

    @property
    def portions(self) -> Portions:
        """How training is cut into epochs and batches."""
        return portions_of(self.experiment.training)

    @cached_property
    def patience(self) -> Patience:
        """For how many epochs without a better fold mean a training goes on."""
        return patience_of(self.experiment, self.examples, series=self.prepared.panel.size)

    @cached_property
    def examples(self) -> int:
        """What the default configuration trains on in the largest fold."""
        return examples_of(self.prepared)

    @cached_property
    def losses(self) -> LossStore:
        """The out-of-fold losses of the run's trials."""
        return LossStore(self.paths, Blocks(*self.task.blocks()))

    def records(self) -> dict[int, TrialRecord]:
        """Every trial of the run so far."""
        return trial_records(read_events(self.paths.events))

    def baselines(self) -> dict[str, BaselineScored]:
        """The baselines that were scored, by this process or an earlier one."""
        events = (stamped.event for stamped in read_events(self.paths.events))
        return {event.name: event for event in events if isinstance(event, BaselineScored)}

    def score_baseline(self, name: str) -> BaselineScore:
        """A baseline on the folds, with its forecasts; computed once in a process."""
        if name not in self._scored:
            self._scored[name] = score_baseline(self.task, name)
        return self._scored[name]

    @cached_property
    def _scored(self) -> dict[str, BaselineScore]:
        return {}

    @property
    def best_baseline(self) -> BaselineScored:
        """The baseline that did best on the validation blocks."""
        return min(self.baselines().values(), key=lambda event: event.score)

    def write_tables(self) -> None:
        """Writes `trials.parquet`, `curves.parquet` and `out_of_fold.parquet`."""
        records = self.records()
        write_tables(self.paths, records)
        self.losses.write_table(records)


def portions_of(training: TrainingSpec) -> Portions:
    """How training is cut into epochs and batches."""
    return Portions(training.batch_size, None if training.steps_per_epoch == "auto" else training.steps_per_epoch)


def patience_of(experiment: Experiment, examples: int, *, series: int) -> Patience:
    """For how many epochs without a better fold mean a training goes on; the same for all configurations."""
    wanted = experiment.training.patience_epochs
    if wanted != "auto":
        return Patience(wanted)
    return portions_of(experiment.training).auto_patience(examples, series=series)


def examples_of(prepared: Prepared) -> int:
    """What the default configuration trains on in the largest fold."""
    problems = prepared.task.problems(whole(prepared.space, defaults(prepared.space)))
    return max(problem.examples for problem in problems)


def now() -> str:
    """The wall-clock time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
