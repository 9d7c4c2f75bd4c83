"""Displays: where a run's events are shown while they happen."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Protocol, Self, final

from rich.console import Console
from rich.live import Live

from lstm_tune.display.board import Board
from lstm_tune.display.formats import clock
from lstm_tune.display.leaderboard import render
from lstm_tune.display.plain import best_sentence, progress_sentence, sentence
from lstm_tune.display.text import Drawing, to_ascii
from lstm_tune.spec.events import Stamped, TrialEnded

_REFRESHES_A_SECOND = 4
_PROGRESS_S = 10.0
_PROGRESS_SHARE = 0.1
_SILENCE_S = 60.0


class Display(Protocol):
    """Shows a run; entered before the first event, called with each, left after the last."""

    def __enter__(self) -> Self:
        """Begins to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shows the last state and lets go of the terminal."""
        ...

    def __call__(self, stamped: Stamped) -> None:
        """Takes the next event, from any thread."""
        ...


def choose_display(*, json: bool, console: Console) -> Display:
    """The display that suits a console.

    Args:
        json: whether a script reads the output.
        console: standard output.

    Returns:
        JSON lines where asked for; a live leaderboard in a terminal; else plain lines.
    """
    if json:
        return JsonDisplay(console.file)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(console)
    return PlainDisplay(console.file)


@final
class LiveDisplay:
    """A leaderboard that is redrawn in place four times a second, and stays in the terminal at the end."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._board = Board()
        self._folded_at_s = clock()
        self._is_shown = False
        self._is_over = False
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=_REFRESHES_A_SECOND)

    def __enter__(self) -> Self:
        with _terminal_may_go():
            self._live.start(refresh=True)
            self._is_shown = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._is_shown:
            with _terminal_may_go():
                self._live.stop()

    def __call__(self, stamped: Stamped) -> None:
        """Takes the next event, from any thread; the next refresh shows it."""
        with self._lock:
            self._board.fold(stamped)
            self._folded_at_s = self._clock()

    def _draw(self) -> Drawing:
        # the line below the drawing is where the cursor rests
        width, height = self._console.width, max(1, self._console.height - 1)
        with self._lock:
            now_s = self._board.at_s + self._clock() - self._folded_at_s
            return render(self._board, width=width, height=None if self._is_over else height, now_s=now_s)


def _terminal_may_go() -> contextlib.AbstractContextManager[None]:
    """Lets the run go on without its terminal; rich answers a broken pipe with SystemExit."""
    return contextlib.suppress(OSError, SystemExit)


@final
class PlainDisplay:
    """One line now and then, without escape codes.

    A line comes at the start, for each baseline, new best trial, failure, warning and result; and about progress, when
    10 s have passed or a tenth of the trials have ended, or after a minute in which nothing ended.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._output = _Output(stream)
        self._board = Board()
        self._best: int | None = None
        self._progress_at_s = 0.0
        self._progress_finished = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, stamped: Stamped) -> None:
        """Takes the next event and writes the lines it calls for."""
        self._board.fold(stamped)
        if (text := sentence(stamped.event, self._board)) is not None:
            self._write(text, stamped.at_s)
        best = self._board.best
        if isinstance(stamped.event, TrialEnded) and best is not None and best.number != self._best:
            self._best = best.number
            self._write(best_sentence(best, self._board), stamped.at_s)
        if self._is_progress_due(stamped.at_s):
            self._progress_at_s, self._progress_finished = stamped.at_s, self._board.finished
            self._write(progress_sentence(self._board, stamped.at_s), stamped.at_s)

    def _is_progress_due(self, at_s: float) -> bool:
        board = self._board
        if board.header is None or board.search_end is not None or board.end is not None:
            return False
        ended, silent_s = board.finished - self._progress_finished, at_s - self._progress_at_s
        due = ended > 0 and (silent_s >= _PROGRESS_S or ended >= _PROGRESS_SHARE * board.header.trials)
        return due or silent_s >= _SILENCE_S

    def _write(self, text: str, at_s: float) -> None:
        self._output.write_line(f"[{clock(at_s)}] {text}")


@final
class JsonDisplay:
    """Each event as a line of JSON, as in the run's `events.ndjson`."""

    def __init__(self, stream: IO[str]) -> None:
        self._output = _Output(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, stamped: Stamped) -> None:
        """Writes the event."""
        self._output.write_line(stamped.to_json())


@final
class _Output:
    """A stream that falls silent, rather than end the run, once nobody reads it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._is_open = True

    def write_line(self, text: str) -> None:
        if not self._is_open:
            return
        try:
            self._write(f"{text}\n")
            self._stream.flush()
        except OSError:
            self._is_open = False
            self._discard_rest()

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            self._stream.write(to_ascii(text))

    def _discard_rest(self) -> None:
        """Points the stream at nothing, or Python would fail on its buffer at exit."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
