from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import (
    Examples,
    Gatherer,
    Origins,
    Sequences,
    complete_origins,
    prepare,
    training_origins,
    validation_examples,
)

PanelMaker = Callable[..., Panel]
NAN = float("nan")


def example_at(sequences: Sequences, origin: int, *, series: int = 0, limit: int | None = None) -> Examples:
    """One forecast from a row of the flat arrays."""
    first, end = int(sequences.starts[series]), int(sequences.starts[series + 1])
    rows = (origin, first, end if limit is None else limit, series)
    return Examples(*(np.array([row], dtype=np.int64) for row in rows))


def window(sequences: Sequences, origin: int, *, context: int = 4) -> list[float]:
    """What a window that ends before `origin` shows of the first series."""
    gatherer = Gatherer(sequences, context=context, horizon=1)
    return gatherer.batch(example_at(sequences, origin)).target[0, :, 0].tolist()


def same(found: list[float], expected: list[float]) -> bool:
    return np.allclose(found, expected, equal_nan=True)


def test_interpolation_draws_a_line_through_a_gap_the_window_has_passed(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 2, NAN, NAN, 8, 9]), missing="interpolate")
    assert same(window(sequences, 5), [2, 4, 6, 8])


def test_window_that_ends_inside_a_gap_carries_the_last_value(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 2, NAN, NAN, 8, 9]), missing="interpolate")
    assert same(window(sequences, 4), [1, 2, 2, 2])
    assert same(window(sequences, 3, context=3), [1, 2, 2])


def test_gap_at_the_end_of_a_series_is_carried_forward(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 2, 5, NAN, NAN], [100, 100]), missing="interpolate")
    assert same(window(sequences, 5), [2, 5, 5, 5])


def test_nothing_is_filled_before_the_first_value_or_from_the_series_before(panel_of: PanelMaker) -> None:
    panel = panel_of([1, 2], [NAN, NAN, 3, 4])
    for missing in ("interpolate", "forward"):
        inputs = prepare(panel, missing=missing).inputs[:, 0].tolist()
        assert same(inputs, [1, 2, NAN, NAN, 3, 4])


def test_forward_carries_and_mask_leaves(panel_of: PanelMaker) -> None:
    panel = panel_of([1, NAN, NAN, 4, 5])
    assert same(window(prepare(panel, missing="forward"), 4), [1, 1, 1, 4])
    assert same(window(prepare(panel, missing="mask"), 4), [1, NAN, NAN, 4])


def test_truth_is_never_filled(panel_of: PanelMaker) -> None:
    panel = panel_of([1, NAN, 3, NAN, 5])
    for missing in ("interpolate", "forward", "mask"):
        assert same(prepare(panel, missing=missing).target[:, 0].tolist(), [1, NAN, 3, NAN, 5])


@pytest.mark.parametrize("missing", ["interpolate", "forward", "mask"])
def test_rows_from_the_origin_on_never_change_a_window(panel_of: PanelMaker, missing: str) -> None:
    generator = np.random.default_rng(0)
    values = np.where(generator.random(40) < 0.5, np.nan, generator.normal(size=40))
    for origin in range(8, 40):
        changed = values.copy()
        changed[origin:] = np.where(generator.random(40 - origin) < 0.5, np.nan, 1e6)
        before, after = (prepare(panel_of(one), missing=missing) for one in (values, changed))
        assert np.array_equal(window(before, origin, context=8), window(after, origin, context=8), equal_nan=True)


def test_category_of_a_known_covariate_is_carried_and_not_averaged(panel_of: PanelMaker) -> None:
    panel = panel_of([1, 2, 3], known=[0, NAN, 2], known_categories=[("a", "b", "c")])
    assert prepare(panel, missing="interpolate").known[:, 0].tolist() == [0, 0, 2]


def test_covariates_are_filled_from_earlier_rows_only(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 2, 3, 4], past=[NAN, 1, NAN, 5], known=[2, NAN, NAN, 8]), missing="interpolate")
    assert same(sequences.past[:, 0].tolist(), [NAN, 1, 1, 5])
    assert same(sequences.known[:, 0].tolist(), [2, 2, 2, 8])


def test_batch_holds_the_rows_around_its_origin(panel_of: PanelMaker) -> None:
    rows = np.arange(8)
    sequences = prepare(panel_of(rows, past=rows + 10, known=rows + 20, static=[7]), missing="error")
    batch = Gatherer(sequences, context=3, horizon=2).batch(example_at(sequences, 5))
    assert batch.target.flatten().tolist() == [2, 3, 4]
    assert batch.past.flatten().tolist() == [12, 13, 14]
    assert batch.known.flatten().tolist() == [22, 23, 24, 25, 26]
    assert batch.future.flatten().tolist() == [5, 6]
    assert batch.static.tolist() == [[7]]


def test_series_never_mix_at_their_borders(panel_of: PanelMaker) -> None:
    rows = np.concatenate([np.full(3, 1), np.full(4, 2), np.full(3, 3)])
    panel = panel_of(rows[:3], rows[3:7], rows[7:], past=rows, known=rows)
    sequences = prepare(panel, missing="error")
    origins = np.arange(10)
    series = np.repeat([0, 1, 2], [3, 4, 3])
    examples = Examples(origins, sequences.starts[series], sequences.starts[series + 1], series)
    batch = Gatherer(sequences, context=6, horizon=6).batch(examples)
    own = torch.tensor(series + 1).reshape(10, 1, 1)
    for values in (batch.target, batch.past, batch.known, batch.future):
        assert bool((values.isnan() | (values == own)).all())
    assert int((~batch.known.isnan()).sum()) == 3 * 3 + 4 * 4 + 3 * 3


def test_short_series_are_padded_on_the_left(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([9, 9, 9], [1, 2, 3]), missing="error")
    gatherer = Gatherer(sequences, context=4, horizon=1)
    assert same(gatherer.batch(example_at(sequences, 5, series=1)).target.flatten().tolist(), [NAN, NAN, 1, 2])


def targets(sequences: Sequences, examples: Examples, horizon: int) -> Tensor:
    """The truth of every forecast, [E, h]; rows are told apart by their values."""
    return Gatherer(sequences, context=1, horizon=horizon).batch(examples).future[..., 0]


@pytest.mark.parametrize("gap", [0, 3])
def test_training_targets_end_before_the_limit(panel_of: PanelMaker, gap: int) -> None:
    sequences = prepare(panel_of(range(30), range(100, 125)), missing="error")
    split = split_panel(sequences.lengths, horizon=4, folds=2, block=4, gap=gap, test=4)
    found = targets(sequences, training_origins(sequences, split.folds[0], window=5).all(), 4)
    assert sorted(set(found[~found.isnan()].tolist())) == [*range(5, 18 - gap), *range(105, 113 - gap)]


def test_training_starts_at_half_of_a_series_that_is_shorter_than_two_windows(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(14)), missing="error")
    split = split_panel(sequences.lengths, horizon=2, folds=1, block=2, gap=0, test=2)
    assert training_origins(sequences, split.folds[0], window=8).all().origins.tolist() == [5, 6, 7, 8, 9]
    assert training_origins(sequences, split.folds[0], window=3).all().origins.tolist() == [3, 4, 5, 6, 7, 8, 9]


def test_series_that_takes_no_part_gives_no_example(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(5), range(30)), missing="error")
    fold = split_panel(sequences.lengths, horizon=2, folds=2, block=2, gap=0, test=2).folds[0]
    assert set(training_origins(sequences, fold, window=2).all().series.tolist()) == {1}
    assert set(validation_examples(sequences, fold, horizon=2).series.tolist()) == {1}


@pytest.mark.parametrize("horizon", [1, 3, 4, 7, 20])
def test_each_step_of_a_block_is_a_target_exactly_once(panel_of: PanelMaker, horizon: int) -> None:
    sequences = prepare(panel_of(range(40), range(100, 130)), missing="error")
    fold = split_panel(sequences.lengths, horizon=horizon, folds=2, block=7, gap=0, test=4).folds[1]
    found = targets(sequences, validation_examples(sequences, fold, horizon=horizon), horizon)
    assert sorted(found[~found.isnan()].tolist()) == [*range(29, 36), *range(119, 126)]


def test_empty_block_gives_no_example(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(20)), missing="error")
    split = split_panel(sequences.lengths, horizon=2, folds=1, block=2, gap=0, test=0)
    assert len(validation_examples(sequences, split.test, horizon=2)) == 0
    assert training_origins(sequences, split.test, window=4).all().origins.tolist() == list(range(4, 20))


def test_sample_of_examples_spreads_over_all_of_them() -> None:
    origins = Origins(np.array([0]), np.array([0, 100]), np.array([0]), np.array([100]), stride=1)
    assert origins.spread(4).origins.tolist() == [0, 33, 66, 99]
    assert origins.spread(100).origins.tolist() == list(range(100))


def test_examples_by_number_are_those_of_the_whole_list(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(30), range(3), range(25)), missing="error")
    fold = split_panel(sequences.lengths, horizon=2, folds=2, block=2, gap=0, test=2).folds[0]
    origins = training_origins(sequences, fold, window=4)
    every = origins.all()
    numbers = np.array([len(origins) - 1, 0, 20, 21, 22, 23])
    chosen = origins.at(numbers)
    for name in ("origins", "firsts", "limits", "series"):
        assert np.array_equal(getattr(chosen, name), getattr(every, name)[numbers])
    assert np.concatenate([some.origins for some in every.batches(7)]).tolist() == every.origins.tolist()


def test_complete_origins_have_a_full_window_and_a_full_horizon(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(12), range(5), range(9)), missing="error")
    fold = split_panel(sequences.lengths, horizon=2, folds=1, block=2, gap=0, test=1).folds[0]
    every = training_origins(sequences, fold, window=4).all()
    is_complete = (every.origins - 4 >= every.firsts) & (every.origins + 2 <= every.limits)
    found = complete_origins(sequences, fold, window=4, horizon=2).all()
    assert found.origins.tolist() == every.origins[is_complete].tolist() == [4, 5, 6, 7, 21]
