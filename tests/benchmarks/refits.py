"""The test score of any configuration of a run, by the same final training that the run gave its winner."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarking import Finished, Record

from lstm_tune.models.forecaster import Ensemble, Forecaster
from lstm_tune.search.session import examples_of, patience_of, portions_of
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.tasks.assembly import Prepared, assemble
from lstm_tune.tasks.baselines import score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Portions
from lstm_tune.training.lockstep import Lockstep
from lstm_tune.training.refit import refit, refit_steps

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Refits:
    """Final trainings for the trials of one run.

    Attributes:
        run: what it left.
        prepared: its data and the question that it put to them.
    """

    run: Finished
    prepared: Prepared

    @classmethod
    def of(cls, run: Finished) -> "Refits":
        torch.set_num_threads(1)  # as many as a trial has
        return cls(run, assemble(run.experiment, folder=Path()))

    @property
    def task(self) -> ForecastTask:
        """The question."""
        return self.prepared.task

    def test_score(self, trial: int) -> float:
        """The test error of a trial's configuration, with as many networks and the same seeds as the shipped model.

        The steps follow from the trial's best epoch. A trial that was stopped early is trained to its end first: how
        long to train is then as well known of it as of the winner.
        """
        hyperparameters = completed(self.run.ends()[trial]["hyperparameters"], task="forecast")
        steps = refit_steps(self.task, hyperparameters, self._portions, epochs=self._best_epoch(trial))
        problem, networks = self.task.final_problem(hyperparameters), []
        for member in range(self.run.networks):
            seed = refit_seed(self.run.experiment.search.seed, member)
            weights, _ = refit(self.task, hyperparameters, self._portions, steps=steps, seed=seed, device=CPU)
            network = problem.network(hyperparameters)
            assert isinstance(network, Forecaster)
            network.load_state_dict(weights)
            networks.append(network)
        with torch.inference_mode():
            return self.task.score(problem.tally(Ensemble(networks).eval(), "validation"))

    def baseline(self, name: str) -> float:
        """A baseline's test error, from the run where it was scored in time."""
        scored: Record = self.run.last("test_scored")["baselines"]
        if name in scored:
            return float(scored[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return score_baseline_on_test(self.task, name).score

    @property
    def _portions(self) -> Portions:
        return portions_of(self.run.experiment.training)

    def _best_epoch(self, trial: int) -> int:
        end = self.run.ends()[trial]
        if end["state"] == "complete":
            return int(end["best_epoch"])
        experiment, prepared = self.run.experiment, self.prepared
        folds = Lockstep(
            self.task,
            completed(end["hyperparameters"], task="forecast"),
            self._portions,
            max_epochs=experiment.training.max_epochs,
            patience=patience_of(experiment, examples_of(prepared), series=prepared.panel.size),
            seed=experiment.search.seed,
            device=CPU,
        )
        for _ in folds.epochs():
            pass
        assert folds.best is not None
        return folds.best.epoch


def refit_seed(seed: int, member: int) -> int:
    """Seeds of the final networks; a test compares them with those of the search."""
    return 1_000_003 + seed * 10_007 + member
