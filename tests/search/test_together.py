import torch

from lstm_tune.search.together import MOST_VALUES, thinned


def test_small_panels_are_judged_whole() -> None:
    assert [rows.tolist() for rows in thinned([(3, 12, 1), (4, 12, 1)])] == [[0, 1, 2], [0, 1, 2, 3]]


def test_large_panels_are_judged_on_blocks_spread_over_each_fold() -> None:
    rows = thinned([(30_000, 18, 1, 3), (10_000, 18, 1, 3)])
    assert sum(len(one) for one in rows) * 54 <= MOST_VALUES + 54
    assert abs(len(rows[0]) - 3 * len(rows[1])) <= 2
    assert (rows[0][0].item(), rows[0][-1].item()) == (0, 29_999)
    assert torch.equal(rows[0], rows[0].unique())
