"""Small panels for every layer's tests."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
import torch

from lstm_tune.data.panel import Columns, Feature, Floats, Frequency, Panel

torch.set_num_threads(1)

PanelMaker = Callable[..., Panel]


def _block(values: object, rows: int) -> Floats:
    if values is None:
        return np.empty((rows, 0), dtype=np.float32)
    return np.asarray(values, dtype=np.float32).reshape(rows, -1)


def _features(block: Floats, categories: Sequence[Sequence[str] | None] | None) -> tuple[Feature, ...]:
    kinds = categories or [None] * block.shape[1]
    return tuple(Feature(f"x{i}", tuple(kind) if kind else None) for i, kind in enumerate(kinds))


def make_panel(
    *series: Sequence[float],
    past: object = None,
    known: object = None,
    static: object = None,
    known_categories: Sequence[Sequence[str] | None] | None = None,
    future: int = 0,
) -> Panel:
    """A panel of one target whose series are given as lists; the last `future` rows of each hold no target."""
    values = np.concatenate([np.asarray(one, dtype=np.float32) for one in series])[:, None]
    lengths = np.array([len(one) for one in series], dtype=np.int64)
    blocks = _block(past, len(values)), _block(known, len(values)), _block(static, len(series))
    return Panel(
        columns=Columns(("y",), series=("name",)),
        frequency=Frequency("rows"),
        names=pl.DataFrame({"name": [f"s{i}" for i in range(len(series))]}),
        starts=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        histories=lengths - future,
        times=pl.Series(np.concatenate([np.arange(length) for length in lengths])),
        target=values,
        past=blocks[0],
        known=blocks[1],
        static=blocks[2],
        past_features=_features(blocks[0], None),
        known_features=_features(blocks[1], known_categories),
        static_features=_features(blocks[2], None),
    )


@pytest.fixture(scope="session")
def panel_of() -> PanelMaker:
    return make_panel
