import pytest

from lstm_tune.spec.defaults import default_space, default_windows, effective_windows
from lstm_tune.spec.space import Range, as_raw, parse_space


@pytest.mark.parametrize("rows", [4, 144, 3_000_000])
@pytest.mark.parametrize("horizon", [1, 12, 400])
@pytest.mark.parametrize("season", [1, 7, 365])
@pytest.mark.parametrize("longest", [2, 17, 10_000])
def test_default_space_is_valid_for_tiny_and_large_data(rows: int, horizon: int, season: int, longest: int) -> None:
    space = default_space(rows=rows, longest=longest, horizon=horizon, season=season, positive=True)
    assert parse_space(as_raw(space), task="forecast") == (space, [])
    windows = default_windows(longest=longest, horizon=horizon, season=season)
    assert all(2 <= window <= max(2, longest // 2) for window in windows)
    assert list(windows) == sorted(set(windows))


@pytest.mark.parametrize(("rows", "most"), [(100, 32), (24 * 30, 64), (24 * 299, 64), (24 * 300, 128)])
def test_units_grow_with_the_effective_windows(rows: int, most: int) -> None:
    space = default_space(rows=rows, longest=200, horizon=12, season=12, positive=False)
    assert space["units"] == Range(8, most, log=True)
    assert "log_transform" not in space


def test_seasonal_adjustment_is_searched_where_there_is_a_season() -> None:
    spaces = [default_space(rows=100, longest=50, horizon=4, season=m, positive=True) for m in (1, 4)]
    assert ["seasonal_adjustment" in space for space in spaces] == [False, True]


def test_windows_are_one_to_three_seasons() -> None:
    assert default_windows(longest=96, horizon=6, season=12) == (12, 24, 36)
    assert default_windows(longest=60, horizon=6, season=12) == (12, 24)
    assert default_windows(longest=100, horizon=6, season=1) == (6, 12, 18)


def test_season_longer_than_half_the_history_gives_way_to_the_horizon() -> None:
    assert default_windows(longest=100, horizon=6, season=52) == (6, 12, 18)


def test_effective_windows_share_no_step() -> None:
    assert effective_windows(rows=100, window=12, horizon=12) == 4
