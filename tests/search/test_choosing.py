"""What each trial gets: tables of clusters and measurements against shares and counts worked out by hand."""

from typing import Any

import pytest

from lstm_tune.search.choosing import Demand, Measured, Measurements, decide, gpu_groups, words
from lstm_tune.search.placement import Slot, share
from lstm_tune.spec.errors import InputError

ONE_CORE = Slot(1, 0)
GPU_NODE = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
OLD_NODE = {"CPU": 4.0, "GPU": 1.0, "accelerator_type:T4": 1.0}
CPU_NODE = {"CPU": 8.0}


def auto(slot: Slot = ONE_CORE, **limits: Any) -> Demand:
    return Demand(slot, is_auto=True, **limits)


def on_gpu(peak_mb: float, *, epoch_s: float = 0.1, total_mb: float = 16_000, core_s: float = 10.0) -> Measurements:
    """A GPU that is much faster than a core, unless told otherwise."""
    return Measurements(Measured(core_s), {None: Measured(epoch_s, peak_mb, total_mb)})


@pytest.mark.parametrize(
    ("peak_mb", "trials"),
    [
        (3_000, 4),  # 16,000 / (3,000 * 1.25) = 4.3
        (3_200, 4),  # exactly 4
        (3_201, 3),
        (7_000, 1),
        (12_800, 1),
        (15_900, 1),  # the margin does not fit, the network does
        (100, 8),  # memory for 128, cores for 8 on each of the two GPUs
    ],
)
def test_share_is_what_memory_and_cores_allow(peak_mb: float, trials: int) -> None:
    placement = decide(auto(), [GPU_NODE], on_gpu(peak_mb))
    assert placement.kinds == ((Slot(1, share(trials)), 2 * trials),)


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [
        ({"max_concurrent": 4}, [(0.5, 4)]),  # two on each GPU rather than four on the first
        ({"max_concurrent": 2}, [(1.0, 2)]),
        ({"max_concurrent": 3}, [(0.5, 3)]),
        ({"max_concurrent": 1}, [(1.0, 1)]),
        ({"max_gpus": 1}, [(0.125, 8)]),
        ({"max_gpus": 1, "max_concurrent": 4}, [(0.25, 4)]),
        ({"max_gpus": 0.25}, [(0.125, 2)]),
    ],
)
def test_limits_spread_trials_over_gpus_and_leave_the_rest_free(limits: dict[str, Any], kinds: list[Any]) -> None:
    placement = decide(auto(**limits), [GPU_NODE], on_gpu(100))
    assert [(slot.gpus, count) for slot, count in placement.kinds] == kinds


def test_trials_with_several_cores_share_a_gpu_with_fewer_others() -> None:
    placement = decide(auto(Slot(3, 0)), [GPU_NODE], on_gpu(100))
    assert placement.kinds == ((Slot(3, share(3)), 5),)  # five times three cores; three and two on the GPUs


@pytest.mark.parametrize(
    ("core_s", "gain", "is_gpu"),
    [
        # two GPUs with eight trials each, 0.1 s alone: 20 epochs a second unless sharing gains; 16 cores: 16 / core_s
        (0.5, None, False),
        (0.9, None, True),
        (0.5, 1.9, True),
        (0.3, 1.9, False),
    ],
)
def test_cores_are_taken_where_they_train_more_in_an_hour(core_s: float, gain: float | None, is_gpu: bool) -> None:
    gains = {} if gain is None else {None: gain}
    measured = Measurements(Measured(core_s), {None: Measured(0.1, 100, 16_000)}, gains)
    placement = decide(auto(), [GPU_NODE], measured)
    assert (placement.main.gpus > 0, placement.slots) == (is_gpu, 16)


def test_cores_of_all_nodes_count() -> None:
    measured = on_gpu(12_000, epoch_s=0.1, core_s=0.9)  # 2 / 0.1 = 20 epochs a second
    assert decide(auto(), [GPU_NODE], measured).main.gpus == 1  # 16 / 0.9 = 17.8
    assert decide(auto(), [GPU_NODE, CPU_NODE], measured).kinds == ((ONE_CORE, 24),)  # 24 / 0.9 = 26.7


def test_each_type_of_gpu_gets_the_share_that_was_measured_on_it() -> None:
    gpus = {"A100": Measured(0.1, 4_000, 40_000), "T4": Measured(0.3, 4_000, 16_000)}
    placement = decide(auto(), [OLD_NODE, GPU_NODE], Measurements(Measured(20), gpus))
    assert placement.kinds == ((Slot(1, share(8), "A100"), 16), (Slot(1, share(3), "T4"), 3))


def test_probe_that_failed_means_a_whole_gpu() -> None:
    assert decide(auto(), [GPU_NODE], Measurements()).kinds == ((Slot(1, 1), 2),)


def test_gpus_that_torch_cannot_use_are_not_asked_for() -> None:
    measured = Measurements(unusable=frozenset({None}))
    assert decide(auto(), [GPU_NODE], measured).kinds == ((ONE_CORE, 16),)


def test_cluster_without_gpus_needs_none() -> None:
    assert decide(auto(), [CPU_NODE], Measurements()).kinds == ((ONE_CORE, 8),)


def test_request_without_a_type_is_made_only_where_all_gpus_are_alike() -> None:
    assert [group.accelerator_type for group in gpu_groups([GPU_NODE, CPU_NODE], ONE_CORE)] == [None]
    assert [group.accelerator_type for group in gpu_groups([OLD_NODE, GPU_NODE], ONE_CORE)] == ["A100", "T4"]
    assert [group.accelerator_type for group in gpu_groups([{"CPU": 1, "GPU": 1}, GPU_NODE], ONE_CORE)] == [None]
    assert [group.gpus for group in gpu_groups([OLD_NODE, GPU_NODE], Slot(1, 0, "T4"))] == [1]


def test_share_that_is_given_is_taken_as_a_whole_part() -> None:
    demand = Demand(Slot(1, 0.33), is_auto=False)
    assert decide(demand, [GPU_NODE], Measurements()).kinds == ((Slot(1, 0.3333), 6),)


def test_type_that_no_node_has_is_refused_also_where_the_share_is_measured() -> None:
    with pytest.raises(InputError, match=r"1 GPUs of type H100 on one machine; .* types of GPU: A100"):
        decide(auto(Slot(1, 0, "H100")), [GPU_NODE], Measurements())


def test_nodes_that_may_come_are_waited_for_only_when_asked() -> None:
    wanted = Slot(1, 0.5)
    with pytest.raises(InputError, match=r"let an autoscaler bring such a machine with resources\.wait: true"):
        decide(Demand(wanted, is_auto=False, max_concurrent=4), [CPU_NODE], Measurements())
    waiting = Demand(wanted, is_auto=False, max_concurrent=4, max_gpus=1, waits=True)
    assert decide(waiting, [CPU_NODE], Measurements()).kinds == ((wanted, 2),)


def test_words_tell_the_choice_and_what_it_rests_on() -> None:
    measured = Measurements(Measured(10), {None: Measured(0.1, 3_000, 16_000)}, {None: 1.6})
    assert words(decide(auto(), [GPU_NODE], measured), measured) == (
        "8 trials at once, each with 1 CPUs and 0.25 GPUs. The largest network takes 0.1 s on a GPU (3,000 of 16,000"
        " MB, two at once get 1.6 times as much done), 10 s on a trial's cores an epoch"
    )
