"""The terminal while a search runs: ours alone. What libraries print goes to the run's log."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

INTERRUPTED = 130
"""Exit code of a command that the user stopped."""


@contextmanager
def own_terminal(log: Path) -> Iterator[Console]:
    """A console on standard output while everything else that is printed, by any process below, goes to a file.

    Args:
        log: the file; appended to.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    with log.open("ab") as sink, os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding) as screen:
        for descriptor in kept:
            os.dup2(sink.fileno(), descriptor)
        try:
            yield Console(file=screen)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in kept.items():
                os.dup2(original, descriptor)
                os.close(original)
