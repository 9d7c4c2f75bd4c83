import numpy as np
import pytest

from lstm_tune.data.panel import Frequency
from lstm_tune.data.seasons import detect_season, infer_season


@pytest.mark.parametrize(
    ("every", "season"),
    [
        ("1mo", 12),
        ("1q", 4),
        ("3mo", 4),
        ("1w", 52),
        ("1d", 7),
        ("1b", 5),
        ("1h", 24),
        ("30m", 48),
        ("15m", 96),
        ("5m", 288),
        ("7m", 1),
        ("1s", 1),
        ("1y", 1),
        ("1i", 1),
        ("rows", 1),
    ],
)
def test_season_follows_from_the_step(every: str, season: int) -> None:
    assert infer_season(Frequency(every)) == season


def test_season_is_seen_in_the_values_and_not_in_noise() -> None:
    noise = np.random.default_rng(0).normal(size=240).astype(np.float32)
    wave = np.tile(np.arange(12) % 5, 20).astype(np.float32) + np.arange(240, dtype=np.float32)
    starts = np.array([0, 240])
    assert detect_season(noise, starts) == 1
    assert detect_season(wave + 0.3 * noise, starts) == 12
