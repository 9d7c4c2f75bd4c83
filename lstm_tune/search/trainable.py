"""A trial inside a Ray worker: trains folds in lockstep and reports now and then."""

import json
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import tune
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.training.fold import Portions
from lstm_tune.training.lockstep import EpochResult, Lockstep

REPORT_INTERVAL_S = 1.0
"""A trial reports at rungs and about this often; a reported result costs the controller about 4 ms."""


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a run share beside the data.

    Attributes:
        kind: task kind, a key of `HYPERPARAMETERS`.
        portions: epochs and batches.
        max_epochs: epochs at most.
        patience_epochs: epochs without a better fold mean before a trial ends.
        seed: the run's.
        rungs: epochs at which a trial reports whatever the clock says.
        threads: torch threads of a trial.
    """

    kind: str
    portions: Portions
    max_epochs: int
    patience_epochs: int
    seed: int
    rungs: frozenset[int]
    threads: int


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
        outcome: complete or failed when the trial is over, else None.
        reason: why it is over, in words.
        traceback: of an unexpected error.
        losses: of a complete trial, the metric's sums and counts of every validation block at the best epoch, float64
            [2, B], the folds one after the other.
    """

    hyperparameters: dict[str, Any]
    epoch: int
    last: EpochResult | None
    best: EpochResult | None
    curve: tuple[tuple[int, float, float], ...]
    seconds: float
    node: str
    outcome: Literal["complete", "failed"] | None = None
    reason: str = ""
    traceback: str = ""
    losses: NDArray[np.float64] | None = None


class LstmTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after another in the same process, so that Python, torch and the data are loaded once.

    Errors do not leave it: they are reported, and the worker takes the next trial.
    """

    _hyperparameters: dict[str, Any]
    _lockstep: Lockstep | None
    _last: EpochResult | None
    _curve: list[tuple[int, float, float]]
    _seconds: float

    def setup(self, config: dict[str, Any], task: Task, settings: TrialSettings) -> None:
        """Begins the first trial; `task` and `settings` come from the object store."""
        torch.set_num_threads(settings.threads)
        self._task = task
        self._settings = settings
        self._device = torch.device("cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu")
        self._node = socket.gethostname()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins another trial in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains until the next rung, the end of the trial, or for about a second."""
        started = time.monotonic()
        try:
            lockstep = self._lockstep = self._lockstep or self._new_lockstep()
            for result in lockstep.epochs():
                self._last = result
                self._curve.append((result.epoch, result.score, result.train_score))
                if result.epoch in self._settings.rungs or time.monotonic() - started > REPORT_INTERVAL_S:
                    break
            self._seconds += time.monotonic() - started
            return self._report("complete", self._ending(lockstep)) if lockstep.is_done else self._report()
        except DivergedError as error:
            self._seconds += time.monotonic() - started
            return self._report("failed", str(error))
        except Exception as error:  # whatever a configuration runs into, the search must go on
            self._seconds += time.monotonic() - started
            return self._report("failed", f"{type(error).__name__}: {error}", traceback.format_exc())

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes the state of all folds, without pickle."""
        lockstep = self._lockstep = self._lockstep or self._new_lockstep()
        metadata = {"hyperparameters": json.dumps(self._hyperparameters), "seconds": str(self._seconds)}
        save_file(lockstep.state(), Path(checkpoint_dir) / "state.safetensors", metadata)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Goes on from a state, perhaps another trial's; its network has the shape of this configuration."""
        file = Path(checkpoint_dir) / "state.safetensors"
        self._lockstep = self._new_lockstep()
        self._lockstep.load_state(load_file(file))
        with safe_open(file, framework="pt") as opened:
            self._seconds = float(opened.metadata()["seconds"])

    def _begin(self, config: dict[str, Any]) -> None:
        self._hyperparameters = config["hyperparameters"]
        self._lockstep = None
        self._last = None
        self._curve = []
        self._seconds = 0.0

    def _new_lockstep(self) -> Lockstep:
        settings = self._settings
        complete: Hyperparameters = completed(self._hyperparameters, task=settings.kind)
        return Lockstep(
            self._task,
            complete,
            settings.portions,
            max_epochs=settings.max_epochs,
            patience_epochs=settings.patience_epochs,
            seed=settings.seed,
            device=self._device,
        )

    def _ending(self, lockstep: Lockstep) -> str:
        if lockstep.epoch >= self._settings.max_epochs:
            return "all epochs trained"
        return f"no better fold mean for {self._settings.patience_epochs} epochs"

    def _report(
        self, outcome: Literal["complete", "failed"] | None = None, reason: str = "", trace: str = ""
    ) -> dict[str, Any]:
        best = self._lockstep.best if self._lockstep else None
        epoch = self._lockstep.epoch if self._lockstep else 0
        report = Report(
            dict(self._hyperparameters),
            epoch,
            self._last,
            best,
            tuple(self._curve),
            self._seconds,
            self._node,
            outcome,
            reason,
            trace,
            _losses(self._lockstep.best_tallies) if self._lockstep and outcome == "complete" else None,
        )
        self._curve = []
        score = best.score if best else float("inf")
        return {"epoch": epoch, "best_score": score, "report": report, "done": outcome is not None}


def _losses(tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """Sums and counts of all folds, [2, B]."""
    pairs = ([tally.sums for tally in tallies], [tally.counts for tally in tallies])
    return torch.stack([torch.cat(parts) for parts in pairs]).numpy()
