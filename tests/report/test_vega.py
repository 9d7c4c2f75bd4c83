from pathlib import Path

import pytest
import vl_convert

from lstm_tune.report.vega import vega_bundle


def test_bundle_is_made_once_and_then_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = vega_bundle()
    assert "window.vegaEmbed=" in made
    assert "</script" not in made
    monkeypatch.delattr(vl_convert, "javascript_bundle")
    assert vega_bundle() == made
    assert [file.suffix for file in (tmp_path / "lstm-tune").iterdir()] == [".js"]


def test_cache_that_cannot_be_used_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lstm-tune").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "window.vegaEmbed=" in vega_bundle()
