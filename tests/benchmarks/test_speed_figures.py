import math

import numpy as np
import pytest
from contenders import GRIDS, adapted
from made_tasks import made_task
from our_work import SPACE
from plain_loop import largest_difference
from speed_figures import (
    Heard,
    Span,
    Training,
    controller_costs,
    extrapolated,
    geometric_mean,
    growth,
    memory_mb,
    per_trial_ms,
    phases,
    ratio_of_medians,
    reached,
    shuffled_ends,
    slope,
    speedup,
    status_mb,
    step_gflop,
    thinned,
    utilisation,
)

from lstm_tune.spec.hyperparameters import Value, completed


def test_ratios_are_of_medians_and_missing_sides_are_not_numbers() -> None:
    assert ratio_of_medians([1.0, 30.0, 3.0], [2.0, 1.0]) == 2
    assert math.isnan(ratio_of_medians([], [1.0]))
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4)


def test_phases_of_a_run_add_up_to_its_time() -> None:
    heard = [Heard("RunStarted", 3.0), Heard("BaselineScored", 3.5), Heard("TrialStarted", 4.0)]
    heard += [Heard("TrialReported", 7.0, 1.0), Heard("TrialEnded", 8.0, 2.0), Heard("TrialEnded", 9.0, 3.0)]
    heard += [Heard("SearchEnded", 9.5), Heard("WinnerChosen", 10.0), Heard("RefitReported", 10.1)]
    heard += [Heard("RefitReported", 12.0), Heard("RunEnded", 12.5), Heard("ReportWritten", 13.5)]
    found = phases(heard, total_s=14.0, slots=2)
    assert found["workers"] == 2.0  # from 4 to 6, when the trial that reported at 7 had trained for a second
    assert (found["training"], found["controller"]) == (2.5, 1.0)
    assert (found["final training"], found["end of Ray, report"]) == (2.0, 1.5)
    assert sum(found.values()) == pytest.approx(14)


def test_time_of_a_trial_leaves_out_the_first_start() -> None:
    assert per_trial_ms([10.0, 10.2, 10.6]) == pytest.approx(300)
    assert growth([0.0, 1.0, 2.0, 4.0, 6.0, 8.0], share=3) == pytest.approx(2)
    assert math.isnan(growth([0.0, 1.0], share=3))
    assert slope([100, 200, 300], [1.0, 1.5, 2.0]) == pytest.approx(0.005)


def test_utilisation_counts_from_the_last_worker_up_to_the_last_start() -> None:
    spans = [Span("a", 0.0, 4.0), Span("a", 5.0, 9.0), Span("b", 2.0, 6.0), Span("b", 7.0, 11.0), Span("a", 12.0, 99.0)]
    # from 2 to 12: a is busy 2 and 4 of 10 seconds, b 4 and 4
    assert utilisation(spans) == pytest.approx(14 / 20)
    assert math.isnan(utilisation([Span("a", 0.0, 1.0)]))


def test_costs_of_trials_and_reports_are_told_apart() -> None:
    costs = controller_costs([(100, 100, 0.6), (100, 1_000, 1.5), (10, 300, 0.35)])
    assert costs == pytest.approx((0.005, 0.001))


def test_controller_that_needs_twice_its_time_leaves_workers_half_idle() -> None:
    assert extrapolated(1_000, trial_s=5, cost_trial_s=0.005, cost_report_s=0.001) == pytest.approx(0.5)
    assert extrapolated(10, trial_s=5, cost_trial_s=0.005, cost_report_s=0.001) == 1


def test_memory_is_read_in_megabytes() -> None:
    lines = ["5581-7ffd ---p 00000000 00:00 0 [rollup]", "Rss: 3000 kB", "Pss: 2000 kB", "Private_Clean: 500 kB"]
    found = memory_mb("\n".join([*lines, "Private_Dirty: 1000 kB"]))
    assert found == {"pss": pytest.approx(2.048), "uss": pytest.approx(1.536), "rss": pytest.approx(3.072)}
    assert status_mb("Name:\tpython\nVmHWM:\t  1000 kB\n", "VmHWM") == pytest.approx(1.024)


def test_work_of_a_step_is_three_times_the_way_forward() -> None:
    # two layers of 2 units on 1 feature: 4 gates x 2 units x (1 + 2) and x (2 + 2) products a step; a head of 2 x 5
    found = step_gflop(units=2, depth=2, window=3, batch=7, features=1, outputs=5)
    assert found == pytest.approx(3 * 2 * 7 * (3 * 8 * (3 + 4) + 10) / 1e9)


def test_target_is_reached_once_and_a_miss_costs_the_whole_time() -> None:
    curve = [(1.0, 5.0), (2.0, 3.0), (3.0, 4.0)]
    assert reached(curve, 3.5) == 2
    assert reached(curve, 1.0) is None
    assert (speedup(2.0, 8.0, limit_s=10), speedup(None, 8.0, limit_s=10)) == (4, 0.8)


def shuffled(slots: int, *, ready: float = 0.0, limit_s: float = 100.0, **whole_s: float) -> list[dict[int, float]]:
    """The ends in fifty orders of trials that train for 1, 2 and 4 s."""
    trials = {
        trial: Training(seconds, whole_s.get(f"t{trial}", seconds)) for trial, seconds in enumerate((1.0, 2.0, 4.0))
    }
    generator = np.random.default_rng(0)
    return [shuffled_ends(trials, slots=slots, ready=ready, limit_s=limit_s, generator=generator) for _ in range(50)]


def test_trials_in_another_order_take_as_long_as_they_did() -> None:
    assert {tuple(sorted(ends)) for ends in shuffled(2)} == {(0, 1, 2)}
    assert {ends[2] for ends in shuffled(2)} == {4.0, 5.0}  # among the first two, or after the shorter one
    in_turns = shuffled(1, ready=3.0)
    assert {ends[2] for ends in in_turns} == {7.0, 8.0, 9.0, 10.0}  # a worker begins once it is ready


def test_trial_that_was_cut_off_is_as_far_no_sooner_in_another_order() -> None:
    orders = shuffled(1, limit_s=7.0, t2=8.0)  # it had half its epochs
    assert {ends[2] for ends in orders if 2 in ends} == {7.0}
    assert {tuple(ends) for ends in orders if next(iter(ends)) == 2} == {(2,)}  # nothing begins after it
    assert {ends.get(2) for ends in shuffled(1, limit_s=6.0, t2=8.0)} == {6.0, None}  # too late to come as far


def test_moments_of_a_search_hold_the_trials_that_had_ended() -> None:
    ends = {3: 1.0, 1: 2.0, 2: 4.0}
    assert thinned(ends, 2) == [(1.0, [3]), (4.0, [3, 1, 2])]
    assert len(thinned(ends, 10)) == 3
    assert not thinned({}, 3)


def test_scripts_get_a_wider_grid_wherever_they_write_its_values() -> None:
    work = "product((16, 32, 64), (1, 2), (0.1, 0.4), (1e-3, 1e-2))\nassert len(CONFIGS) == 24\nSTEPS = 24, 12, 32, 200"
    found = adapted(work, GRIDS[4], steps=20)
    assert found == "product((16, 32,), (1,), (0.1, 0.4,), (0.01,))\nassert len(CONFIGS) == 4\nSTEPS = 24, 12, 32, 20"
    assert (
        adapted("GridSearch([16, 32, 64], max_trials=24)", GRIDS[4], steps=20) == "GridSearch([16, 32,], max_trials=4)"
    )
    assert all(math.prod(map(len, grid.values())) == count for count, grid in GRIDS.items())


@pytest.mark.parametrize("depth", [1, 2])
def test_training_is_what_a_loop_by_hand_does(depth: int) -> None:
    shape: dict[str, Value] = {"units": 8, "depth": depth, "dropout": 0.3, "learning_rate": 0.01}
    hyperparameters = completed({**SPACE, **shape, "window": 12}, task="forecast")
    task = made_task(rows=120, horizon=6, season=1)
    assert largest_difference(task, hyperparameters, batch=16, steps=12) < 1e-6
