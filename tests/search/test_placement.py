import math
from typing import Any

import pytest
import ray

from lstm_tune.search.placement import Placement, Slot, check_fits, fitting, live_nodes, place, share
from lstm_tune.spec.errors import InputError

NODE = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:T4": 1.0, "license": 3.0}


def test_trial_has_a_thread_for_each_of_its_cores() -> None:
    assert [Slot(cpus, 0).threads for cpus in (0.5, 1, 2.5)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("slot", "count"),
    [
        (Slot(1, 0), 8),
        (Slot(0.5, 0), 16),
        (Slot(1, 1), 2),
        (Slot(1, 0.25), 8),
        (Slot(2, 0.25), 4),
        (Slot(0.1, 0.6666), 2),  # a third of each GPU is left, which makes no two thirds
        (Slot(0.1, 0.3333), 6),
        (Slot(1, 0.5, "T4"), 4),
        (Slot(1, 0.5, "A100"), 0),
        (Slot(1, 0, custom=(("license", 1.5),)), 2),
        (Slot(1, 3), 0),
    ],
)
def test_node_holds_as_many_trials_as_its_scarcest_resource_allows(slot: Slot, count: int) -> None:
    assert fitting(NODE, slot) == count


def test_request_names_everything_a_trial_occupies_and_nothing_it_does_not() -> None:
    assert Slot(1, 0).request == {"CPU": 1}
    slot = Slot(2, 0.5, "T4", (("license", 1.0),))
    assert slot.request == {"CPU": 2, "GPU": 0.5, "accelerator_type:T4": 0.001, "license": 1}


def test_placement_counts_all_kinds_and_trains_the_final_model_on_the_roomiest() -> None:
    placement = Placement(((Slot(1, 0.5, "T4"), 2), (Slot(1, 0.25, "A100"), 8)))
    assert placement.slots == 10
    assert placement.main == Slot(1, 0.25, "A100")


@pytest.mark.parametrize(
    ("slots", "limits", "counts"),
    [
        ([Slot(1, 0)], {}, [16]),
        ([Slot(1, 0)], {"max_concurrent": 3}, [3]),
        ([Slot(1, 0)], {"max_concurrent": 10_000}, [16]),
        ([Slot(1, share(3))], {}, [9]),  # three GPUs
        ([Slot(1, share(3))], {"max_gpus": 1}, [3]),
        ([Slot(1, 0.5, "T4"), Slot(1, 0.25, "A100")], {}, [4, 4]),
        ([Slot(1, 0.5, "T4"), Slot(1, 0.25, "A100")], {"max_gpus": 2.5}, [4, 2]),
        ([Slot(1, 0.5, "T4"), Slot(1, 0.25, "A100")], {"max_concurrent": 4}, [4]),
        ([Slot(9, 0)], {}, []),
    ],
)
def test_trials_are_placed_up_to_the_limits(slots: list[Slot], limits: dict[str, Any], counts: list[int]) -> None:
    nodes = [NODE, {"CPU": 8.0, "GPU": 1.0, "accelerator_type:A100": 1.0}]
    placement = place(slots, nodes, **{"max_concurrent": None, "max_gpus": None, **limits})
    assert [count for _, count in placement.kinds] == counts


@pytest.mark.parametrize("trials", range(1, 65))
def test_shares_of_a_gpu_fill_it_and_not_more(trials: int) -> None:
    assert round(share(trials) * 10_000) * trials <= 10_000
    assert fitting({"CPU": 100.0, "GPU": 1.0}, Slot(1, share(trials))) == trials


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        (Slot(9, 0), r"resources: a trial needs 9 CPUs and 0 GPUs on one machine; the largest has 8 CPUs and 2 GPUs"),
        (Slot(1, 0.5, "A100"), r"needs 1 CPUs and 0\.5 GPUs of type A100 .* types of GPU: T4\. Ask for less"),
        (Slot(1, 0, custom=(("license", 4.0),)), r"0 GPUs and 4 license on one machine; .* 3 license at most"),
    ],
)
def test_trial_that_no_node_could_hold_is_refused_with_what_there_is(slot: Slot, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_fits(slot, [NODE])


@pytest.mark.usefixtures("shared_ray")
def test_nodes_of_the_running_ray_hold_a_trial_for_each_core() -> None:
    assert sum(fitting(node, Slot(1, 0)) for node in live_nodes()) == int(ray.cluster_resources()["CPU"])


@pytest.mark.usefixtures("shared_ray")
def test_slot_is_doubled_up_to_what_a_node_has() -> None:
    cpus = ray.cluster_resources()["CPU"]
    assert Slot(cpus / 2, 0).doubled() == Slot(cpus, 0)
    assert Slot(math.ceil(cpus / 2) + 1, 0).doubled() is None
    assert Slot(1, 1).doubled() is None
