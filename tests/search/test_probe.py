from collections.abc import Sequence

import pytest
from ray.exceptions import GetTimeoutError, RayError

from lstm_tune.search.choosing import Demand, Measured
from lstm_tune.search.placement import Slot
from lstm_tune.search.probe import measure_cluster

NODES = [
    {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0},
    {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0},
]
AUTO = Demand(Slot(2, 0), is_auto=True)


class Probe:
    """Answers as told, and remembers what was asked; an error among the answers is raised."""

    def __init__(self, *answers: list[Measured] | RayError) -> None:
        self._answers = list(answers)
        self.asked: list[list[tuple[float, str | None]]] = []

    def __call__(self, slots: Sequence[Slot]) -> list[Measured]:
        assert all(slot.cpus == 2 for slot in slots)
        self.asked.append([(slot.gpus, slot.accelerator_type) for slot in slots])
        answer = self._answers.pop(0)
        if isinstance(answer, RayError):
            raise answer
        return answer


def shared(epoch_s: float, place: str = "a GPU 0") -> Measured:
    return Measured(epoch_s, 4_000, 16_000, place)


def test_each_type_is_measured_alone_and_shared_and_cores_at_the_end() -> None:
    probe = Probe([shared(0.1)], [shared(0.125)] * 2, [Measured(0.3, 9_000, 16_000)], [Measured(2.0)])
    measured, problems = measure_cluster(AUTO, NODES, probe)
    assert probe.asked == [[(1.0, "A100")], [(0.5, "A100")] * 2, [(1.0, "T4")], [(0.0, None)]]  # one fits on the T4
    assert {name: each.epoch_s for name, each in measured.gpus.items()} == {"A100": 0.1, "T4": 0.3}
    assert measured.gains == {"A100": pytest.approx(1.6)}  # 2 * 0.1 / 0.125
    assert measured.cpu == Measured(2.0)
    assert problems == []


def test_no_gain_is_claimed_for_two_that_did_not_share_a_gpu() -> None:
    probe = Probe([shared(0.1)], [shared(0.1), shared(0.1, "a GPU 1")], [Measured(2.0)])
    assert measure_cluster(AUTO, NODES[:1], probe)[0].gains == {}


def test_probe_that_takes_too_long_is_told_and_the_others_go_on() -> None:
    probe = Probe(GetTimeoutError("late"), [Measured(0.3, 9_000, 16_000)], GetTimeoutError("late"))
    measured, problems = measure_cluster(AUTO, NODES, probe)
    reason = "failed (not done after 120 s), so each trial gets a whole one."
    assert problems == [f"The probe on a GPU of type A100 {reason}"]
    assert set(measured.gpus) == {"T4"}
    assert measured.cpu is None


def test_gpus_that_torch_cannot_use_are_told() -> None:
    measured, problems = measure_cluster(AUTO, NODES[:1], Probe([Measured(2.0, place="a GPU 0")]))
    assert measured.unusable == {None}
    assert problems == ["torch cannot use a GPU (a GPU 0), so trials do not ask for it."]


@pytest.mark.parametrize("demand", [Demand(Slot(2, 1), is_auto=False), AUTO])
def test_nothing_is_measured_where_there_is_nothing_to_choose(demand: Demand) -> None:
    nodes = [{"CPU": 8.0}] if demand.is_auto else NODES
    assert measure_cluster(demand, nodes, Probe())[0].gpus == {}
