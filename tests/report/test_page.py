import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from run_files import BASELINES, START, TRIALS, finished_run, trial, write_run

from lstm_tune.report.writing import write_page, write_pictures
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import RunEnded

HOSTILE = "</script><img src=x onerror=console.error('taken')><!--"


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    page = write_page(finished_run(tmp_path / "run")).read_text()
    body = page[page.index("<body>") :]
    assert body.index("Do not use an LSTM here: ridge does as well.") < body.index("<figure")
    assert "80 % interval 0.5 to 0.9; the search saw 0.55" in body
    assert "<dd>0.66</dd><dd>80 % interval 0.4 to 0.8; ridge 0.61</dd>" in body
    assert "one value is missing" in body


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = write_page(finished_run(tmp_path / "run")).read_text()
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r"<(?:link|img|iframe|script)[^>]*>", markup) == ['<link rel="icon" href="data:,">']
    assert not re.search(r"url\(|@import|https?:", markup)
    assert "<script src" not in page
    assert len(page) < 3_000_000


def test_names_from_the_data_cannot_leave_their_place(tmp_path: Path) -> None:
    page = write_page(finished_run(tmp_path / "run", series=[HOSTILE, "b", "c"])).read_text()
    assert "<img src=x" not in page
    assert page.count("</script>") == 3
    assert HOSTILE in unescape(page)


def test_an_interrupted_run_says_how_far_it_came(tmp_path: Path) -> None:
    events = [START, *BASELINES, *TRIALS[:9], RunEnded("interrupted", "Go on with: lstm-tune resume x")]
    page = write_page(write_run(tmp_path / "run", events)).read_text()
    assert "This run was interrupted before it came to its end." in page
    assert "3 of 12 trials ended. The best so far is trial 0 with mase 0.5." in page
    assert "Go on with: lstm-tune resume x" in page
    assert "There is no forecast of the test part" in page


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    events = [START, *trial(0, state="failed"), RunEnded("failed", "None of 1 trials ended with a score that counts.")]
    page = write_page(write_run(tmp_path / "run", events)).read_text()
    assert "None of 1 trials ended with a score that counts." in page
    assert "Trial 0: why" in page
    assert "No trial has a score yet." in page


def test_pictures_are_written_one_a_figure(tmp_path: Path) -> None:
    folder = write_pictures(finished_run(tmp_path / "run"), tmp_path / "pictures")
    names = {path.name for path in folder.iterdir()}
    assert {"test-forecast.png", "learning-curves.png", "slices.png", "timeline.png"} <= names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())


@pytest.mark.parametrize("write", [write_page, write_pictures])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.* cannot be written: .*Name another place with -o"):
        write(finished_run(tmp_path / "run"), tmp_path / "file" / "report")


def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_every_chart_without_an_error(tmp_path: Path, scheme: str) -> None:
    page = write_page(finished_run(tmp_path / "run", series=[HOSTILE, "b", "c", "d", "e"]))
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--v=0", "--virtual-time-budget=30000"]
    command += [f"--blink-settings=preferredColorScheme={'0' if scheme == 'dark' else '1'}"]
    ended = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=False, timeout=180
    )
    assert [line for line in ended.stderr.splitlines() if "CONSOLE" in line] == []
    charts = page.read_text().count('class="chart"')
    assert f'data-drawn="{charts}"' in ended.stdout
    assert ended.stdout.count('role="graphics-document"') == charts
