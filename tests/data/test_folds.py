import numpy as np
import pytest

from lstm_tune.data.folds import Split, auto_block, split_panel
from lstm_tune.spec.errors import InputError


def lengths(*steps: int) -> np.ndarray:
    return np.array(steps, dtype=np.int64)


def edges(split: Split) -> list[tuple[int, int, int]]:
    """(training end, block start, block end) of the first series in every fold and the test part."""
    return [(int(f.train_ends[0]), int(f.starts[0]), int(f.ends[0])) for f in (*split.folds, split.test)]


def test_blocks_follow_each_other_up_to_the_test_part() -> None:
    split = split_panel(lengths(30), horizon=4, folds=3, block=5, gap=0, test=6)
    assert edges(split) == [(9, 9, 14), (14, 14, 19), (19, 19, 24), (24, 24, 30)]
    assert split.block == 5


def test_gap_lies_between_training_and_every_block() -> None:
    split = split_panel(lengths(30), horizon=4, folds=2, block=5, gap=3, test=6)
    assert edges(split) == [(11, 14, 19), (16, 19, 24), (21, 24, 30)]


def test_single_fold_is_judged_on_the_steps_before_the_test_part() -> None:
    assert edges(split_panel(lengths(12), horizon=2, folds=1, block=2, gap=0, test=2)) == [(8, 8, 10), (10, 10, 12)]


def test_series_of_unequal_length_are_judged_on_their_own_last_steps() -> None:
    split = split_panel(lengths(20, 30), horizon=4, folds=1, block=4, gap=0, test=2)
    assert split.folds[0].starts.tolist() == [14, 24]
    assert split.test.ends.tolist() == [20, 30]


@pytest.mark.parametrize(("steps", "takes_part"), [(9, False), (10, True)])
def test_series_takes_part_with_two_training_steps(steps: int, takes_part: bool) -> None:
    split = split_panel(lengths(steps, 40), horizon=2, folds=2, block=2, gap=1, test=3)
    first = split.folds[0]
    assert (first.train_ends[0], first.starts[0], first.ends[0]) == ((2, 3, 5) if takes_part else (0, 0, 0))
    assert first.series == (2 if takes_part else 1)


def test_short_series_joins_later_folds() -> None:
    split = split_panel(lengths(8, 40), horizon=2, folds=3, block=2, gap=0, test=2)
    assert [fold.series for fold in split.folds] == [1, 2, 2]
    assert split.folds[1].train_ends.tolist() == [2, 34]


def test_series_too_short_for_every_fold_are_an_error_with_the_needed_length() -> None:
    message = r"validation: 4 folds of 12 steps, a gap of 2 and a test .* at least 64 steps; the longest has 63"
    with pytest.raises(InputError, match=message):
        split_panel(lengths(63, 20), horizon=12, folds=4, block=12, gap=2, test=12)
    assert split_panel(lengths(64, 20), horizon=12, folds=4, block=12, gap=2, test=12).folds[0].series == 1


def test_without_a_test_part_the_final_training_takes_every_step() -> None:
    split = split_panel(lengths(20), horizon=2, folds=2, block=3, gap=4, test=0)
    assert edges(split) == [(10, 14, 17), (13, 17, 20), (20, 20, 20)]
    assert split.test.series == 0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (144, 12),  # 0.4 x 132 / 48 = 1.1 horizons
        (500, 48),  # 0.4 x 488 / 48 = 4.07
        (10_000, 96),  # never above 8 horizons
        (20, 12),  # never below one
        (5, 12),
    ],
)
def test_automatic_block_is_a_number_of_horizons_within_its_share_of_the_history(steps: int, expected: int) -> None:
    assert auto_block(lengths(steps, steps, 2), horizon=12, folds=4, test=12) == expected
