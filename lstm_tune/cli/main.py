"""The commands. Each body is short and imports what it needs when it runs."""

import sys
from pathlib import Path
from typing import Annotated, Never

import typer

from lstm_tune.cli.terminal import INTERRUPTED
from lstm_tune.spec.errors import LstmTuneError

app = typer.Typer(
    name="lstm-tune",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Honest hyperparameter search for PyTorch LSTMs on small sequence data.

    Start with your own table:  `lstm-tune init data.csv`  then  `lstm-tune run space.yaml`
    """,
)

Space = Annotated[Path, typer.Argument(help="experiment file", show_default=False, metavar="SPACE.YAML")]
Run = Annotated[
    str,
    typer.Argument(
        help="a run's directory, or its address such as s3://bucket/runs/NAME", show_default=False, metavar="RUN"
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="replace a key of the file, such as `search.trials=10`; may be repeated", metavar="KEY=VALUE"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster to run on: `auto` on one of its machines, or HOST:PORT; default: this machine alone",
        show_default=False,
    ),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        help="Ray's dashboard, such as http://127.0.0.1:8265; default: what RAY_ADDRESS says, else this machine",
        show_default=False,
        metavar="URL",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="holds the cluster's token; default: where Ray keeps it", show_default=False, metavar="FILE"),
]
Job = Annotated[
    str, typer.Argument(help="a job's name, or its beginning, or `latest`", show_default=False, metavar="JOB")
]
Json = Annotated[bool, typer.Option("--json", help="write events as JSON lines to standard output")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from lstm_tune import __version__

        typer.echo(f"lstm-tune {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before a command; the group's own help is the app's."""


@app.command()
def run(
    space: Space,
    overrides: Overrides = None,
    warm_start: Annotated[
        str | None, typer.Option(help="an earlier run whose best configurations are tried first", metavar="RUN")
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="also repeat the whole search before each fold, for an error estimate")
    ] = False,
    address: Address = None,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="copy local data into the run, which may then be moved elsewhere")
    ] = False,
    json: Json = False,
) -> None:
    """Search, choose, refit and export a model.

    `lstm-tune run space.yaml`

    `lstm-tune run space.yaml --set search.trials=10 --set search.time_limit=2m`
    """
    from lstm_tune.cli.running import run_experiment

    wanted = [*(overrides or []), *(["validation.nested=true"] if nested else [])]
    run_experiment(
        space, wanted, warm_start=warm_start, address=address, keep_data=keep_data, json=json, command=sys.argv
    )


@app.command()
def resume(run: Run, overrides: Overrides = None, address: Address = None, json: Json = False) -> None:
    """Go on with a run that was stopped, or give it a larger budget.

    `lstm-tune resume runs/air-passengers-20260101-120000 --set search.trials=100`
    """
    from lstm_tune.cli.running import resume_experiment

    resume_experiment(run, overrides or [], address=address, json=json)


@app.command()
def leaderboard(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep drawing while another process runs it")] = False,
    json: Json = False,
) -> None:
    """Draw a run's leaderboard from its files.

    `lstm-tune leaderboard runs/air-passengers-20260101-120000 --follow`
    """
    from lstm_tune.cli.running import show_leaderboard

    show_leaderboard(run, follow=follow, json=json)


@app.command()
def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="page, or folder of pictures; default: in the run", show_default=False),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="html: one page; png: the pictures alone")] = "html",
) -> None:
    """Write a page about a run, finished or not: verdict, forecasts, search, training.

    `lstm-tune report runs/air-passengers-20260101-120000`

    `lstm-tune report runs/air-passengers-20260101-120000 --format png -o pictures`
    """
    from lstm_tune.cli.reporting import report_run

    report_run(run, output, format=format)


@app.command()
def validate(space: Space, overrides: Overrides = None) -> None:
    """Check a file and its data, and show what a search would do.

    `lstm-tune validate space.yaml`
    """
    from lstm_tune.cli.checking import validate_experiment

    validate_experiment(space, overrides or [])


@app.command()
def resources(
    space: Annotated[
        Path | None, typer.Argument(help="experiment file", show_default=False, metavar="[SPACE.YAML]")
    ] = None,
    overrides: Overrides = None,
    address: Address = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="train the largest network for a moment on GPUs and cores, as a run would")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="write one JSON object to standard output")] = False,
) -> None:
    """Show this machine, or a Ray cluster, as trials are placed on it, and what those of a file would get.

    `lstm-tune resources`

    `lstm-tune resources space.yaml --address auto --probe`
    """
    from lstm_tune.cli.resources import show_resources

    show_resources(space, overrides or [], address=address, probe=probe, as_json=json)


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="table: CSV, Parquet, Arrow IPC or NDJSON", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="experiment file to write")] = Path("space.yaml"),
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Look at a table and write a commented experiment file that runs as it is.

    `lstm-tune init sales.csv -o sales.yaml`
    """
    from lstm_tune.cli.checking import write_experiment

    write_experiment(data, output, force=force)


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, for editors.

    `lstm-tune schema > schema.json`
    """
    import json

    from lstm_tune.spec.loading import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def predict(
    bundle: Annotated[str, typer.Argument(help="a bundle, or the run that made it", show_default=False)],
    data: Annotated[str, typer.Argument(help="table with the history of every series", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="`.parquet`, `.csv`, `.ndjson` or `.arrow`; else printed")
    ] = None,
) -> None:
    """Forecast the continuation of every series in a table.

    `lstm-tune predict runs/air-passengers-20260101-120000/best data.csv -o forecast.parquet`
    """
    from lstm_tune.cli.using import predict_table

    predict_table(bundle, data, output)


@app.command()
def evaluate(
    run: Run,
    data: Annotated[
        str | None,
        typer.Argument(
            help="table with newer rows of the same series; default: the run's test part", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="write one JSON object to standard output")] = False,
) -> None:
    """Score a finished run's model again: on its own test part, or on rows that came later.

    `lstm-tune evaluate runs/air-passengers-20260101-120000 newer.csv`

    Each look is written into the run's `test_ledger.json`. A second look at the test part is no longer a fair one.
    """
    from lstm_tune.cli.evaluating import evaluate_run

    evaluate_run(run, data, as_json=json)


@app.command()
def upload(
    run: Annotated[str, typer.Argument(help="a run's directory", show_default=False, metavar="RUN")],
) -> None:
    """Complete a run's copy at the remote address that its `output.directory` names.

    `lstm-tune upload runs/air-passengers-20260101-120000`
    """
    from lstm_tune.cli.places import upload_run

    upload_run(run)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="a run, or a bundle", show_default=False)],
    format: Annotated[str, typer.Option("--format", help="bundle, torch-export or onnx")] = "bundle",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="folder; default: beside the bundle")] = None,
) -> None:
    """Write the model in another form, checked against the bundle first.

    `lstm-tune export runs/air-passengers-20260101-120000 --format onnx`
    """
    from lstm_tune.cli.using import export_model

    export_model(run, format, output)


@app.command()
def submit(
    space: Annotated[
        Path | None, typer.Argument(help="experiment file", show_default=False, metavar="SPACE.YAML")
    ] = None,
    overrides: Overrides = None,
    address: ClusterAddress = None,
    token_file: TokenFile = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="instead of a file: a job, or a run's directory on the cluster, to go on with", metavar="JOB"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--detach", help="show the run, or leave it to itself")] = True,
    pip: Annotated[
        bool, typer.Option("--pip", help="install the versions of this machine on the nodes before the run")
    ] = False,
    json: Json = False,
) -> None:
    """Run an experiment as a job on a Ray cluster; its file and local data travel with it.

    `lstm-tune submit space.yaml --address http://127.0.0.1:8265 --detach`

    `lstm-tune submit --resume latest --set search.trials=100`
    """
    from lstm_tune.cli import jobs

    cluster = jobs.connection(address, token_file)
    if resume is not None and space is None:
        jobs.submit_resumption(resume, overrides or [], cluster, wait=wait, pip=pip, as_json=json)
    elif space is not None and resume is None:
        jobs.submit_experiment(space, overrides or [], cluster, wait=wait, pip=pip, as_json=json)
    else:
        raise typer.BadParameter("name either an experiment file, or a job with --resume")


@app.command()
def attach(job: Job, address: ClusterAddress = None, token_file: TokenFile = None, json: Json = False) -> None:
    """Show a job's run until it ends; Ctrl-C leaves it running.

    `lstm-tune attach latest`
    """
    from lstm_tune.cli.jobs import attach_job, connection

    attach_job(job, connection(address, token_file), as_json=json)


@app.command()
def jobs(
    address: ClusterAddress = None,
    token_file: TokenFile = None,
    json: Annotated[bool, typer.Option("--json", help="write a JSON array to standard output")] = False,
) -> None:
    """List the runs that were submitted to a cluster, newest first.

    `lstm-tune jobs`
    """
    from lstm_tune.cli.jobs import connection, list_jobs

    list_jobs(connection(address, token_file), as_json=json)


@app.command()
def logs(
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the job ends")] = False,
    address: ClusterAddress = None,
    token_file: TokenFile = None,
) -> None:
    """Write what a job has said, its events as plain lines.

    `lstm-tune logs latest -f`
    """
    from lstm_tune.cli.jobs import connection, show_logs

    show_logs(job, connection(address, token_file), follow=follow)


@app.command()
def stop(job: Job, address: ClusterAddress = None, token_file: TokenFile = None) -> None:
    """Stop a job; its run can be gone on with.

    `lstm-tune stop latest`
    """
    from lstm_tune.cli.jobs import connection, stop_job

    stop_job(job, connection(address, token_file))


@app.command()
def fetch(
    job: Job,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="new folder; default: below runs", show_default=False, metavar="DIR"),
    ] = None,
    address: ClusterAddress = None,
    token_file: TokenFile = None,
) -> None:
    """Bring a job's run here, with its model and report; finished or not.

    `lstm-tune fetch latest -o result`
    """
    from lstm_tune.cli.jobs import connection, fetch_job

    fetch_job(job, output, connection(address, token_file))


def main() -> None:
    """Runs a command. Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    try:
        code = app(prog_name="lstm-tune", standalone_mode=False)
    except LstmTuneError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except Exception as error:
        _usage_error(error)
    else:
        sys.exit(code)  # what `typer.Exit` carried; None, which is 0, from a command that came to its end


def _usage_error(error: Exception) -> Never:
    """Shows what typer says of a wrong command line; everything else is a bug and keeps its traceback."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or code is None:
        raise error
    show()
    sys.exit(code)
