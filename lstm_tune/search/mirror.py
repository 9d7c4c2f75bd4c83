"""Keeps the copy of a run at a remote address up to date while the run goes on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, final

from lstm_tune.search.copying import RunCopy
from lstm_tune.spec.errors import StorageError
from lstm_tune.spec.events import Event, Warned

PAUSE_S = 1.0
"""Between two looks at the run's folder."""

LONGEST_PAUSE_S = 30.0
"""Pauses double up to this while the address refuses."""

PATIENCE_S = 30.0
"""How long the end of a run waits for an address that refuses."""


@final
class Mirror:
    """Copies what is new about once a second while it is entered, and the rest when it is left.

    When the address refuses, that is told once, and once more when it is over; the run goes on meanwhile.

    Args:
        copy: the run's copy.
        root: the run's folder, for messages.
        address: where the copy is, likewise.
        record: takes a warning while the run goes on.
        tell: shows a warning after the run's last event.

    Attributes:
        is_whole: once it is left, whether everything was copied.
    """

    def __init__(
        self,
        copy: RunCopy,
        *,
        root: Path,
        address: str,
        record: Callable[[Event], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._copy = copy
        self._root = root
        self._address = address
        self._say = record
        self._tell = tell
        self._failing_since_s: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self.is_whole = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._say = self._tell
        try:
            self._finish()
        finally:
            if not self.is_whole:
                behind = f"The copy at {self._address} is behind; everything is in {self._root}"
                self._tell(Warned(f"{behind}. Complete it: lstm-tune upload {self._root}"))

    def _work(self) -> None:
        pause_s = PAUSE_S
        while not self._over.wait(pause_s):
            pause_s = PAUSE_S if self._update() else min(2 * pause_s, LONGEST_PAUSE_S)

    def _finish(self) -> None:
        """Copies the rest, and tries again for a while where that fails."""
        until_s, pause_s = time.monotonic() + PATIENCE_S, PAUSE_S
        while not self._update(is_last=True):
            if time.monotonic() + pause_s > until_s:
                return
            time.sleep(pause_s)
            pause_s *= 2
        self.is_whole = True

    def _update(self, *, is_last: bool = False) -> bool:
        """Whether the address took all that was new."""
        try:
            self._copy.update(is_last=is_last)
        except (StorageError, OSError) as error:
            if self._failing_since_s is None:
                self._failing_since_s = time.monotonic()
                self._say(Warned(f"The copy at {self._address} cannot be written: {error}. It is tried again."))
            return False
        if self._failing_since_s is not None:
            lasted_s, self._failing_since_s = time.monotonic() - self._failing_since_s, None
            self._say(Warned(f"The copy at {self._address} is up to date again after {lasted_s:.0f} s."))
        return True
