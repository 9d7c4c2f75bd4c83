"""Commands that run an experiment as a job on a cluster, and look after it."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.status import Status

from lstm_tune.cli.terminal import INTERRUPTED
from lstm_tune.display.formats import duration
from lstm_tune.display.live import PlainDisplay, choose_display
from lstm_tune.remote.access import exposure, find_address, reach
from lstm_tune.remote.fetching import check_destination, fetch_run, whereabouts
from lstm_tune.remote.following import follow_events, parse
from lstm_tune.remote.jobs import Cluster, Job, start_run
from lstm_tune.remote.packing import packed, packed_resumption, weigh
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.events import Stamped
from lstm_tune.spec.loading import load_experiment

LAST_LINES = 12
"""Lines of a failed job's log that are shown with its failure."""

MOST_CHARACTERS = 240
"""Of a line among Ray's reasons."""

RAYS_OWN = ("Running entrypoint for job", "INFO job_manager.py")
"""What lines that Ray writes into every job's log hold."""


def connection(address: str | None, token_file: Path | None) -> Callable[[], Cluster]:
    """Connects to a cluster when called, so that what is wrong here is told before.

    Args:
        address: of Ray's dashboard; None for where Ray's variables point, else this machine.
        token_file: holds the cluster's token; None for where Ray keeps it.
    """

    def connect() -> Cluster:
        url = find_address(address)
        if warning := exposure(url):
            typer.echo(f"warning: {warning}", err=True)
        return Cluster(reach(url, token_file))

    return connect


def submit_experiment(
    space: Path, overrides: Sequence[str], cluster: Callable[[], Cluster], *, wait: bool, pip: bool, as_json: bool
) -> None:
    """Runs an experiment file as a job.

    Args:
        space: the file.
        overrides: `key.path=value` texts.
        cluster: connects to the cluster.
        wait: show the run until it ends.
        pip: install this machine's versions on the nodes first.
        as_json: write JSON instead of a leaderboard.
    """
    experiment = load_experiment(space, overrides)
    parcel = weigh(space, experiment, overrides)
    connected = cluster()
    with _busy(f"{experiment.name}: packing"), packed(parcel, pip=pip) as environment:
        job = start_run(connected, experiment.name, environment)
    _after_submission(connected, job, wait=wait, as_json=as_json)


def submit_resumption(
    reference: str, overrides: Sequence[str], cluster: Callable[[], Cluster], *, wait: bool, pip: bool, as_json: bool
) -> None:
    """Goes on with the run of an earlier job, or in a directory on the cluster; other arguments as above."""
    connected = cluster()
    if "/" in reference:
        name, directory = Path(reference).name, reference
    else:
        earlier = connected.find(reference)
        name, directory = earlier.experiment, whereabouts(connected, earlier).directory
    with _busy(f"{name}: packing"), packed_resumption(directory, overrides, pip=pip) as environment:
        job = start_run(connected, name, environment)
    _after_submission(connected, job, wait=wait, as_json=as_json)


def attach_job(reference: str, cluster: Callable[[], Cluster], *, as_json: bool) -> None:
    """Shows a job's run until it ends, from its beginning; ends as the run does."""
    connected = cluster()
    _show(connected, connected.find(reference).id, as_json=as_json)


def list_jobs(cluster: Callable[[], Cluster], *, as_json: bool) -> None:
    """Lists the runs that were submitted, newest first."""
    connected = cluster()
    jobs = connected.jobs()
    if as_json:
        typer.echo(json.dumps([_fields(job) for job in jobs], indent=2))
        return
    if not jobs:
        typer.echo(f"No runs were submitted to {connected.url}")
        return
    rows = [("job", "status", "submitted", "took"), *map(_row, jobs)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_logs(reference: str, cluster: Callable[[], Cluster], *, follow: bool) -> None:
    """Writes a job's log: events as plain lines, everything else as it is."""
    connected, console = cluster(), Console()
    job = connected.find(reference)
    items = follow_events(connected, job.id) if follow else map(parse, connected.log(job.id).splitlines())
    with PlainDisplay(console.file) as display, _leaving(job.id):
        for item in items:
            if isinstance(item, Stamped):
                display(item)
            else:
                typer.echo(item)


def stop_job(reference: str, cluster: Callable[[], Cluster]) -> None:
    """Stops a job as Ctrl-C stops a run, and waits until it has stopped."""
    connected = cluster()
    job = connected.find(reference)
    if job.is_over:
        typer.echo(f"{job.id} is over already: {job.status}")
        return
    with _busy(f"{job.id}: stopping; its run writes down what is done"):
        connected.stop(job.id)
        for _ in follow_events(connected, job.id):
            pass
    typer.echo(f"{job.id} has stopped. Go on with it: lstm-tune submit --resume {job.id}")


def fetch_job(reference: str, output: Path | None, cluster: Callable[[], Cluster]) -> None:
    """Brings a job's run, with its model and report, into a folder here."""
    connected = cluster()
    job = connected.find(reference)
    found = whereabouts(connected, job)
    into = output or Path("runs") / Path(found.directory).name
    check_destination(into)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{job.id}: fetching", total=None)
        fetch_run(
            connected,
            job,
            found.directory,
            into,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if found.end is not None and found.end.state == "done":
        typer.echo(f"{into}: the run, its report.html and its model. Forecast with: lstm-tune predict {into}/best DATA")
    else:
        state = "it has not ended" if found.end is None else f"it was {found.end.state}"
        typer.echo(f"{into}: the run as far as it is; {state}. Ray calls its job {job.status}")


def _after_submission(cluster: Cluster, job: str, *, wait: bool, as_json: bool) -> None:
    if wait:
        typer.echo(f"{job}: submitted to {cluster.url}. Ctrl-C leaves it; lstm-tune attach {job} comes back", err=True)
        _show(cluster, job, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps({"job": job, "address": cluster.url}))
    else:
        typer.echo(f"{job}: submitted to {cluster.url}. Watch it: lstm-tune attach {job}")


def _show(cluster: Cluster, job: str, *, as_json: bool) -> None:
    """Draws a job's run as a local run is drawn, and ends as it did."""
    lines: deque[str] = deque(maxlen=LAST_LINES)
    with _leaving(job):
        events = _events(follow_events(cluster, job), lines)
        with _busy(f"{job}: waiting for the run to begin"):
            first = next(events, None)
        if first is not None:
            with choose_display(json=as_json, console=Console()) as display:
                for stamped in chain([first], events):
                    display(stamped)
    _end(cluster.read(job), lines)
    typer.echo(f"The run is on the cluster. Bring it here: lstm-tune fetch {job}", err=True)


def _events(items: Iterable[Stamped | str], lines: deque[str]) -> Iterator[Stamped]:
    """The events alone; `lines` keeps what was said after the last of them."""
    for item in items:
        if isinstance(item, Stamped):
            lines.clear()
            yield item
        else:
            lines.append(item)


def _end(job: Job, lines: Iterable[str]) -> None:
    if job.status == "STOPPED" or job.exit_code == INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    if job.status != "SUCCEEDED":
        said = [line for line in lines if line.strip() and not any(words in line for words in RAYS_OWN)]
        raise ClusterError("\n".join([_failure(job), *said, f"All it said: lstm-tune logs {job.id}"]))


def _failure(job: Job) -> str:
    """Ray's reason in a line; where the job's process ended by itself, its last words follow elsewhere.

    What Ray says of an environment that could not be made is pages of tracebacks around pip's own errors.
    """
    if job.exit_code is not None:
        return f"{job.id}: the job failed with exit code {job.exit_code}"
    said = [line.strip() for line in job.message.splitlines() if line.strip()] or ["Ray does not say why"]
    causes = [line for line in said if line.startswith("ERROR:")] or said[-1:]
    words = " ".join(line[:MOST_CHARACTERS] for line in dict.fromkeys([said[0], *causes]))
    return f"{job.id}: the job failed: {words}"


@contextmanager
def _leaving(job: str) -> Iterator[None]:
    """Says how to come back where the user leaves with Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"{job} goes on. Come back to it: lstm-tune attach {job}; end it: lstm-tune stop {job}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _row(job: Job) -> tuple[str, str, str, str]:
    """A job for the table."""
    started = job.started_at.astimezone().strftime("%Y-%m-%d %H:%M") if job.started_at else ""
    return (job.id, job.status, started, duration(job.seconds) if job.seconds is not None else "")


def _fields(job: Job) -> dict[str, object]:
    """A job for a script."""
    times = {name: time and time.isoformat() for name, time in (("started", job.started_at), ("ended", job.ended_at))}
    known = {"job": job.id, "experiment": job.experiment, "status": job.status, "message": job.message}
    return {**known, **times, "exit_code": job.exit_code}


def _busy(message: str) -> Status:
    return Console(stderr=True).status(message)
