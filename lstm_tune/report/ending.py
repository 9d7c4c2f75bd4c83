"""The report at the end of a run; it never makes a run fail."""

from collections.abc import Callable, Iterable
from itertools import chain

from lstm_tune.spec.errors import LstmTuneError
from lstm_tune.spec.events import ReportWritten, RunEnded, Stamped, Warned, read_events
from lstm_tune.spec.paths import RunPaths


def report_end(paths: RunPaths, listeners: Iterable[Callable[[Stamped], None]]) -> None:
    """Writes the page of a run that has ended, in whatever way, and tells where it is or why there is none.

    Args:
        paths: the run; nothing happens while it goes on, for then another process writes to it.
        listeners: called with what happened.
    """
    events = read_events(paths.events) if paths.events.exists() else ()
    *_, last = chain([None], events)
    if last is None or not isinstance(last.event, RunEnded):
        return
    stamped = Stamped(last.at_s, _write(paths))
    for listener in listeners:
        listener(stamped)


def _write(paths: RunPaths) -> ReportWritten | Warned:
    try:
        from lstm_tune.report.writing import write_page

        return ReportWritten(str(write_page(paths)))
    except LstmTuneError as error:
        return Warned(f"there is no report: {error}")
    except Exception as error:  # the run itself is well, and its report can be tried again
        what = f"{type(error).__name__}: {error}"
        return Warned(f"there is no report ({what}). Try again with: lstm-tune report {paths.root}")
