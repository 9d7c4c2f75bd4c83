"""How long one waits: for the first line on the screen, for the first trial's first step, and for `--help`.

The command runs as in a terminal, on a pseudo-terminal of its own, with Ray, the workers and everything else started
anew. The first line is the first visible text. The first step is when the first trial that reported or ended must have
begun to train: when its first event reached the run's file, less the seconds that it says it had trained by then.
"""

import argparse
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarking import ROOT, Figure, Record, conclude, options, show

LONGEST_S = 300.0
POLL_S = 0.01
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\s")
"""What a terminal does not show."""

EXPERIMENT = """
name: start
task: {kind: forecast, horizon: 6, season: 12}
data: {path: wave.csv, target: y}
validation: {test: 6, folds: 2}
search: {trials: 2, metric: mae}
training: {max_epochs: 3}
output: {directory: runs, seeds: 1, finalists: 1}
"""


@contextmanager
def on_a_terminal(command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command that believes it has a terminal: its process, and the descriptor of what it shows."""
    screen, inside = pty.openpty()
    size = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **size, "PYTHONPATH": python_path}
    process = subprocess.Popen(command, cwd=folder, stdin=inside, stdout=inside, stderr=inside, env=environment)
    os.close(inside)
    try:
        yield process, screen
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(screen)


def shown(screen: int, wait_s: float) -> bytes | None:
    """What came on the screen meanwhile; None when nothing will come any more."""
    if not select.select([screen], [], [], wait_s)[0]:
        return b""
    try:
        return os.read(screen, 65_536) or None
    except OSError:  # Linux's way of saying that the other side is closed
        return None


def first_step(events: Path, begun: float) -> float | None:
    """Seconds from the beginning to the first trial's first step, once an event tells."""
    if not events.exists():
        return None
    for line in events.read_text().splitlines():
        if '"trial_reported"' in line or '"trial_ended"' in line:
            try:
                return time.monotonic() - begun - float(json.loads(line)["seconds"])
            except ValueError:  # half a line
                return None
    return None


def run_once() -> Record:
    """Runs the tiny experiment: seconds to the first line, to the first step, and to the end."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"{step},{step % 12 + 0.1 * (step % 7):.2f}" for step in range(240)]
        (folder / "wave.csv").write_text("\n".join(["step,y", *rows]) + "\n")
        (folder / "space.yaml").write_text(EXPERIMENT)
        begun, line_s, step_s, text = time.monotonic(), None, None, b""
        with on_a_terminal([sys.executable, "-m", "lstm_tune", "run", "space.yaml"], folder) as (process, screen):
            while (more := shown(screen, POLL_S)) is not None and time.monotonic() - begun < LONGEST_S:
                text += more
                if line_s is None and CONTROL.sub(b"", text):
                    line_s = time.monotonic() - begun
                if step_s is None:
                    step_s = next(
                        filter(None, (first_step(p, begun) for p in folder.glob("runs/*/events.ndjson"))), None
                    )
            code = process.wait(LONGEST_S)
        if code or line_s is None or step_s is None:
            raise SystemExit(f"the run failed: {text[-2_000:].decode(errors='replace')}")
        return {"first_line_s": line_s, "first_step_s": step_s, "run_s": time.monotonic() - begun}


def help_once() -> float:
    """Seconds of `lstm-tune --help`."""
    begun = time.monotonic()
    with on_a_terminal([sys.executable, "-m", "lstm_tune", "--help"], ROOT) as (process, screen):
        while shown(screen, 1.0) is not None:
            pass
        if process.wait(LONGEST_S):
            raise SystemExit("--help failed")
    return time.monotonic() - begun


def main() -> None:
    """The program."""
    arguments = _arguments()
    rows = [{**run_once(), "help_s": help_once()} for _ in range(arguments.rounds)]
    show("waiting", list(rows[0]), [list(row.values()) for row in rows])
    middle = {name: median(row[name] for row in rows) for name in rows[0]}
    figures = [
        Figure.at_most("command to the first line, s", middle["first_line_s"], 1.0),
        Figure.at_most("command to the first trial's first step, s", middle["first_step_s"], 8.0),
        Figure.at_most("--help, s", middle["help_s"], 0.5),
        Figure("two tiny trials from the command to the end, s", middle["run_s"]),
    ]
    conclude("start", figures, output=arguments.output, settings={"rounds": arguments.rounds}, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="start.json")
    parser.add_argument("--rounds", type=int, default=5, help="runs; the figures are medians")
    return parser.parse_args()


if __name__ == "__main__":
    main()
