"""Workers that the search no longer needs: they have started and hold the data, so the trainings after it use them."""

from contextlib import suppress
from typing import Any

import ray

from lstm_tune.search.placement import Slot


class Crew:
    """Workers that wait for work, by what they occupy. They occupy it until `end`."""

    def __init__(self) -> None:
        self._workers: list[tuple[Slot, Any]] = []

    def take_over(self, slot: Slot, worker: Any) -> None:
        """Keeps a `TrialWorker` that is idle."""
        self._workers.append((slot, worker))

    def of(self, slot: Slot) -> list[Any]:
        """The workers that occupy as much."""
        return [worker for occupied, worker in self._workers if occupied == slot]

    def end(self) -> None:
        """Ends them all."""
        for _, worker in self._workers:
            with suppress(ray.exceptions.RayError):
                ray.kill(worker)
        self._workers.clear()
