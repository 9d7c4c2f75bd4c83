"""A process that trains one trial after another: folds in lockstep, with a report now and then."""

import ctypes
import gc
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.search.checkpoints import Checkpoint, CheckpointStore, DamagedError
from lstm_tune.search.device import own_device
from lstm_tune.search.helping import share_folds
from lstm_tune.search.placement import Slot
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.group import FoldGroup
from lstm_tune.training.lockstep import EpochResult, Lockstep

MEMORY_WORDS = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch's plain `RuntimeError` says that memory ran out."""


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a run share beside the data.

    Attributes:
        kind: task kind, a key of `HYPERPARAMETERS`.
        portions: epochs and batches.
        max_epochs: epochs at most.
        patience: for how many epochs without a better fold mean a trial goes on.
        seed: the run's.
        rungs: epochs at which a trial reports whatever the clock says.
        checkpoints: where trials under way are kept; None where not every node could reach them.
        checkpoint_interval_s: seconds of training between two checkpoints of a trial.
        report_interval_s: seconds of training after which a trial reports, rung or not.
    """

    kind: str
    portions: Portions
    max_epochs: int
    patience: Patience
    seed: int
    rungs: frozenset[int]
    checkpoints: CheckpointStore | None
    checkpoint_interval_s: float
    report_interval_s: float


@dataclass(frozen=True)
class Order:
    """A trial for a worker.

    Attributes:
        trial: its number.
        hyperparameters: the active ones.
        slot: what it occupies.
    """

    trial: int
    hyperparameters: dict[str, Any]
    slot: Slot


Ending = Literal["complete", "failed", "out of memory"]


@dataclass(frozen=True)
class Report:
    """What a worker tells the driver.

    Attributes:
        hyperparameters: the active ones, as they are now (population based training changes them).
        epoch: epochs trained.
        last: the latest epoch's result; None before the first.
        best: the best epoch's result; None before the first.
        curve: every epoch since the last report, as (epoch, score, train score).
        seconds: time trained so far.
        node: host.
        outcome: complete, failed or out of memory when the trial is over, else None.
        reason: why it is over, in words.
        traceback: of an unexpected error.
        losses: of a complete trial, the metric's sums and counts of every validation block at the best epoch, float64
            [2, B], the folds one after the other.
        warning: what the user should know; empty for nothing.
    """

    hyperparameters: dict[str, Any]
    epoch: int
    last: EpochResult | None
    best: EpochResult | None
    curve: tuple[tuple[int, float, float], ...]
    seconds: float
    node: str
    outcome: Ending | None = None
    reason: str = ""
    traceback: str = ""
    losses: NDArray[np.float64] | None = None
    warning: str = ""


class TrialWorker:
    """Runs one trial after another in the same process, so that Python, torch and the data are loaded once.

    Errors of a trial do not leave it: they are reported, and the worker takes the next one.

    Args:
        task: the question, with its data.
        settings: what trials share.
    """

    _trial: int
    _hyperparameters: dict[str, Any]
    _slot: Slot
    _lockstep: Lockstep | None
    _folds: FoldGroup | None
    _helpers: list[Any]
    _has_new_helper: bool
    _last: EpochResult | None
    _curve: list[tuple[int, float, float]]
    _told: int
    _seconds: float
    _kept_at_s: float
    _warning: str

    def __init__(self, task: Task, settings: TrialSettings) -> None:
        self._task = task
        self._settings = settings
        self._device = own_device()
        self._node = ray.util.get_node_ip_address()
        self._forget()

    def begin(self, order: Order) -> None:
        """Takes another trial, after giving back the memory of the one before."""
        self._prepare(order.slot.threads)
        self._trial, self._slot = order.trial, order.slot
        self._hyperparameters = order.hyperparameters
        self._last = None
        self._curve = []
        self._told = 0
        self._seconds = self._kept_at_s = 0.0
        self._warning = ""

    def step(self) -> Report:
        """Trains until the next rung, the end of the trial, or for about the time between two reports."""
        settings, started = self._settings, time.monotonic()
        try:
            lockstep = self._started_lockstep()
            self._let_help(lockstep)
            self._keep_now_and_then()  # what was trained so far has been reported
            for result in lockstep.epochs():
                self._last = result
                self._curve.append((result.epoch, result.score, result.train_score))
                if result.epoch in settings.rungs or time.monotonic() - started > settings.report_interval_s:
                    break
            self._seconds += time.monotonic() - started
            return self._report("complete", self._ending(lockstep)) if lockstep.is_done else self._report()
        except DivergedError as error:
            self._seconds += time.monotonic() - started
            return self._report("failed", str(error))
        except ray.exceptions.RayError:
            raise  # a worker that helped is lost, and some folds with it
        except Exception as error:  # whatever a configuration runs into, the search must go on
            self._seconds += time.monotonic() - started
            ending: Ending = "out of memory" if is_memory_error(error) else "failed"
            return self._report(ending, f"{type(error).__name__}: {error}", traceback.format_exc())

    def cut_off(self, reason: str) -> Report:
        """The trial as it stands, as its last report; one that has no score yet has no outcome either."""
        return self._report("complete", reason) if self._lockstep and self._lockstep.best else self._report()

    def train(
        self, job: Callable[[Any, torch.device, Sequence[Any]], Any], threads: int, helpers: Sequence[Any]
    ) -> Any:
        """Trains something else than a trial: what the job makes of the task on this worker's device.

        Args:
            job: what to do.
            threads: torch threads to use.
            helpers: handles of `TrialWorker`s that have nothing else to do meanwhile.
        """
        self._prepare(threads)
        return job(self._task, self._device, helpers)

    def share(self, helper: Any) -> None:
        """Lets another worker train some folds of the trial, from the next step on.

        Args:
            helper: handle of a `TrialWorker` that has nothing else to do until this trial has ended.
        """
        self._helpers.append(helper)
        self._has_new_helper = True

    def take_folds(
        self, hyperparameters: dict[str, Any], numbers: Sequence[int], state: dict[str, Tensor], threads: int
    ) -> None:
        """Trains some folds of another worker's trial, from a state on; `ask_folds` says when.

        Args:
            hyperparameters: the active ones.
            numbers: which folds, in order.
            state: from `Lockstep.state`.
            threads: torch threads to use.
        """
        self._prepare(threads)
        settings, complete = self._settings, completed(hyperparameters, task=self._settings.kind)
        self._folds = FoldGroup(
            self._task, complete, settings.portions, numbers=numbers, seed=settings.seed, device=self._device
        )
        self._folds.load_state(state)
        _return_freed_memory()

    def ask_folds(self, method: Literal["end_epoch", "keep", "best_forecasts", "state"]) -> Any:
        """What a method of the folds taken returns, or the error that it raises: it belongs to the other's trial."""
        try:
            return getattr(self._folds, method)()
        except Exception as error:
            return error

    def _let_help(self, lockstep: Lockstep) -> None:
        if self._has_new_helper:
            share_folds(lockstep, self._helpers, self._hyperparameters, threads=self._slot.threads)
            self._has_new_helper = False

    def _forget(self) -> None:
        """The work before."""
        self._lockstep = self._folds = None
        self._helpers, self._has_new_helper = [], False

    def _prepare(self, threads: int) -> None:
        self._forget()
        if self._device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
        torch.set_num_threads(threads)

    def checkpoint(self) -> Checkpoint:
        """The state of all folds as it is now."""
        lockstep = self._started_lockstep()
        curve = torch.tensor(self._curve, dtype=torch.float64).reshape(-1, 3)
        facts = {"hyperparameters": self._hyperparameters, "seconds": self._seconds}
        tensors: dict[str, Tensor] = {**lockstep.state(), "curve": curve}
        return Checkpoint(tensors, facts)

    def go_on_from(self, content: bytes) -> None:
        """Goes on from a checkpoint's bytes, perhaps another trial's; its network has the shape of this one's."""
        try:
            found = Checkpoint.from_bytes(content)
        except DamagedError as error:
            self._warning = f"{error}; it goes on from the start"
        else:
            self._lockstep = self._new_lockstep()
            self._load(self._lockstep, found)

    def _new_lockstep(self) -> Lockstep:
        settings = self._settings
        complete: Hyperparameters = completed(self._hyperparameters, task=settings.kind)
        return Lockstep(
            self._task,
            complete,
            settings.portions,
            max_epochs=settings.max_epochs,
            patience=settings.patience,
            seed=settings.seed,
            device=self._device,
        )

    def _started_lockstep(self) -> Lockstep:
        if self._lockstep is None:
            self._lockstep = self._resumed_lockstep()
            _return_freed_memory()  # fitting the linear start to a large panel takes a hundred megabytes for a moment
        return self._lockstep

    def _resumed_lockstep(self) -> Lockstep:
        """A new start, or where an earlier process of this trial was."""
        lockstep, store = self._new_lockstep(), self._settings.checkpoints
        try:
            found = store.find(self._trial) if store else None
        except (DamagedError, OSError) as error:
            self._warning = f"{error}; it starts again"
        else:
            if found and found.facts["hyperparameters"] == self._hyperparameters:
                self._load(lockstep, found)
        return lockstep

    def _load(self, lockstep: Lockstep, found: Checkpoint) -> None:
        """Takes over a state; what another trial reached with it does not count as this one's."""
        is_own = found.facts["hyperparameters"] == self._hyperparameters
        state = dict(found.tensors)
        curve: list[list[float]] = state.pop("curve").tolist()
        lockstep.load_state(state, is_own=is_own)
        self._seconds = self._kept_at_s = float(found.facts["seconds"])
        if is_own:
            self._curve = [(int(epoch), score, train_score) for epoch, score, train_score in curve]

    def _keep_now_and_then(self) -> None:
        store = self._settings.checkpoints
        if store is None or self._seconds - self._kept_at_s < self._settings.checkpoint_interval_s:
            return
        self._kept_at_s = self._seconds
        try:
            store.keep(self._trial, self.checkpoint())
        except OSError as error:
            self._warning = f"its checkpoint could not be written: {error}"

    def _ending(self, lockstep: Lockstep) -> str:
        if lockstep.epoch >= self._settings.max_epochs:
            return "all epochs trained"
        assert lockstep.best, "it has trained an epoch"
        return f"no better fold mean for {lockstep.epoch - lockstep.best.epoch} epochs"

    def _report(self, outcome: Ending | None = None, reason: str = "", trace: str = "") -> Report:
        best = self._lockstep.best if self._lockstep else None
        epoch = self._lockstep.epoch if self._lockstep else 0
        report = Report(
            dict(self._hyperparameters),
            epoch,
            self._last,
            best,
            tuple(self._curve[self._told :]),
            self._seconds,
            self._node,
            outcome,
            reason,
            trace,
            _losses(self._lockstep.best_tallies) if self._lockstep and outcome == "complete" else None,
            self._warning,
        )
        self._told, self._warning = len(self._curve), ""
        return report


def _return_freed_memory() -> None:
    """Gives what was freed back to the machine; glibc would keep it for this process."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def is_memory_error(error: Exception) -> bool:
    """Whether memory ran out, of a GPU or of the machine."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in MEMORY_WORDS)


def _losses(tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """Sums and counts of all folds, [2, B]."""
    pairs = ([tally.sums for tally in tallies], [tally.counts for tally in tallies])
    return torch.stack([torch.cat(parts) for parts in pairs]).numpy()
