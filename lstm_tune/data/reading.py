"""Files to Polars frames: any supported format, only the wanted columns, and one clear message when that fails."""

import glob
import hashlib
import shutil
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import polars as pl

from lstm_tune.spec.errors import Fault, InputError, did_you_mean

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""Texts that mean a missing value in CSV files and in text columns that hold numbers."""

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_COLUMNS_SHOWN = 30
_EXPORT_ADVICE = "Check that the export that made it succeeded"
_GLOB_SIGNS = frozenset("*?[")
_INFERENCE_ROWS = 10_000
_HASH_CHUNK_BYTES = 1 << 20


def _scan_csv(path: str, rows: int | None) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema_length=rows, null_values=list(MISSING_WORDS), glob=False)


def _scan_tsv(path: str, rows: int | None) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema_length=rows, null_values=list(MISSING_WORDS), glob=False, separator="\t")


def _scan_parquet(path: str, rows: int | None) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False)


def _scan_ipc(path: str, rows: int | None) -> pl.LazyFrame:
    return pl.scan_ipc(path, glob=False)


def _scan_ndjson(path: str, rows: int | None) -> pl.LazyFrame:
    return pl.scan_ndjson(path, infer_schema_length=rows)


_SCANS: dict[str, Callable[[str, int | None], pl.LazyFrame]] = {
    ".csv": _scan_csv,
    ".csv.gz": _scan_csv,
    ".tsv": _scan_tsv,
    ".tsv.gz": _scan_tsv,
    ".parquet": _scan_parquet,
    ".pq": _scan_parquet,
    ".arrow": _scan_ipc,
    ".ipc": _scan_ipc,
    ".feather": _scan_ipc,
    ".ndjson": _scan_ndjson,
    ".jsonl": _scan_ndjson,
}


def read_frame(
    path: str, *, folder: Path | None, columns: Sequence[str] | None = None, repeated: Sequence[str] = ()
) -> pl.DataFrame:
    """The rows of a file, or of all files of a glob one below the other.

    Only the wanted columns are read. A type is decided by all rows of a file; where files of a glob differ, the wider
    type wins. In CSV files the words of `MISSING_WORDS` are missing values, and times stay text.

    Args:
        path: a file, a glob (files in sorted order), or an address such as s3://, gs://, az:// or https://.
        folder: what a relative path is relative to; None for the current folder.
        columns: columns wanted; None for all.
        repeated: columns whose values come again and again, such as names of series and times of a panel. Their text is
            kept as Categorical, which takes a quarter of the memory.

    Returns:
        One row a row of the input, in its order; at least one.

    Raises:
        InputError: there is no such file, it is empty, damaged or of an unknown kind, or a column is missing.
    """
    sources = _sources(path, folder)
    wanted = list(dict.fromkeys(columns)) if columns is not None else None
    if faults := [fault for source in sources for fault in _column_faults(source, wanted)]:
        raise InputError(faults)
    frame = _joined([_read(source, wanted, frozenset(repeated)) for source in sources], sources)
    if frame.is_empty():
        raise InputError.at(path, f"must hold rows of data, but has no rows. {_EXPORT_ADVICE}")
    return frame


def file_hash(path: str, *, folder: Path | None) -> str:
    """SHA-256 of the data, as 64 hexadecimal digits.

    Local files count by their bytes, one after the other in sorted order, so that two equal copies have one hash
    wherever they lie. Remote ones count by the values they hold.

    Raises:
        InputError: the data cannot be read.
    """
    digest = hashlib.sha256()
    if _is_remote(path):
        buffer = BytesIO()
        read_frame(path, folder=folder).write_ipc(buffer)
        digest.update(buffer.getbuffer())
        return digest.hexdigest()
    for source in _sources(path, folder):
        with open(source, "rb") as file:
            while chunk := file.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def data_files(path: str, *, folder: Path | None) -> list[Path]:
    """The local files a path stands for, in the order they are read; none of a remote address.

    Raises:
        InputError: there is no such file, or one is empty.
    """
    return [] if _is_remote(path) else [Path(source) for source in _sources(path, folder)]


def copy_data(path: str, *, folder: Path | None, into: Path) -> str:
    """Copies the files a path stands for into one folder.

    Files of a glob may come from several folders, so theirs get a number before their names, which keeps their order.

    Args:
        path: a local file or glob.
        folder: what a relative path is relative to; None for the current folder.
        into: the folder; made when missing.

    Returns:
        The path of the copies relative to the folder that holds `into`.

    Raises:
        InputError: there is no such file, or one is empty.
    """
    files = data_files(path, folder=folder)
    into.mkdir(exist_ok=True)
    if len(files) == 1:
        shutil.copyfile(files[0], into / files[0].name)
        return f"{into.name}/{files[0].name}"
    for number, file in enumerate(files, start=1):
        shutil.copyfile(file, into / f"{number:0{len(str(len(files)))}}-{file.name}")
    return f"{into.name}/*"


def _is_remote(path: str) -> bool:
    return "://" in path


def _sources(path: str, folder: Path | None) -> list[str]:
    """The files a path stands for, in sorted order; each exists and is not empty."""
    if _is_remote(path):
        return [path]
    if not path:
        raise InputError.at("data.path", "must name a file, found no text. Name one, such as data/sales.csv")
    whole = (folder or Path()) / Path(path).expanduser()
    if whole.is_dir():
        raise InputError.at(
            path, f"must be a file, but is a folder. Name a file in it, or a glob such as {path.rstrip('/')}/*.csv"
        )
    if whole.exists():
        sources = [str(whole)]
    elif _GLOB_SIGNS & set(path):
        sources = sorted(found for found in glob.glob(str(whole), recursive=True) if Path(found).is_file())
        if not sources:
            raise InputError.at(path, f"matches no file; looked for {whole.absolute()}")
    else:
        raise InputError.at(path, f"does not exist; looked for {whole.absolute()}.{_neighbour(whole)}")
    if faults := [fault for source in sources if (fault := _file_fault(source))]:
        raise InputError(faults)
    return sources


def _neighbour(path: Path) -> str:
    """A sentence naming a file of the same folder that was probably meant, or nothing."""
    names = [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, names)
    return f" {hint}" if hint.startswith("Did") else ""


def _file_fault(source: str) -> Fault | None:
    try:
        with open(source, "rb") as file:
            has_bytes = bool(file.read(1))
    except OSError as error:
        return Fault(source, f"cannot be read: {error.strerror}. Check the permissions of the file")
    return None if has_bytes else Fault(source, f"must hold rows of data, but is empty (0 bytes). {_EXPORT_ADVICE}")


def _scan(source: str, rows: int | None = _INFERENCE_ROWS) -> pl.LazyFrame:
    """The rows of a file, to be read later; `rows` of a text file decide its types, None for all."""
    name = source.lower().split("?")[0] if _is_remote(source) else source.lower()
    for suffix, scan in _SCANS.items():
        if name.endswith(suffix):
            return scan(source, rows)
    kind = Path(name).suffix
    problem = f"has the unknown ending '{kind}'" if kind else "has no ending that says its format"
    raise InputError.at(source, f"{problem}. Known: {', '.join(_SCANS)}. Convert the file or rename it")


def _schema(source: str) -> pl.Schema:
    try:
        return _scan(source).collect_schema()
    except _UNREADABLE as error:
        raise _damaged(source, error) from None


def _column_faults(source: str, wanted: Sequence[str] | None) -> list[Fault]:
    found = _schema(source).names()
    shown = ", ".join(found[:_COLUMNS_SHOWN]) + (
        f" and {len(found) - _COLUMNS_SHOWN} more" if found[_COLUMNS_SHOWN:] else ""
    )
    lost = [column for column in wanted or () if column not in found]
    if (lost or wanted is None) and (sign := _separator(found)):
        rule = f"must hold {', '.join(repr(column) for column in lost) or 'a column of numbers beside the time'}"
        problem = f"{rule}, but has one column whose parts seem to be separated by {sign!r}: {shown}"
        return [Fault(source, f"{problem}. Write it with commas as .csv, or with tabs as .tsv")]
    faults = []
    for column in lost:
        hint = did_you_mean(column, found)
        advice = f"{hint} Columns found: {shown}" if hint.startswith("Did") else f"Columns found: {shown}"
        faults.append(Fault(source, f"must hold a column '{column}', but has none. {advice}"))
    return faults


def _separator(found: Sequence[str]) -> str | None:
    """The sign that joined all columns into one, if there is one."""
    signs = (";", "\t", "|", ",")
    return next((sign for sign in signs if sign in found[0]), None) if len(found) == 1 else None


def _read(source: str, wanted: Sequence[str] | None, repeated: frozenset[str]) -> pl.DataFrame:
    """The wanted columns of one file.

    The first rows decide the types of a text file. Where a later row contradicts them (whole numbers for 10,000 rows,
    then decimals) the file is read again and all rows decide, which takes several times as long.
    """
    try:
        return _collect(_scan(source), wanted, repeated)
    except _UNREADABLE:
        pass
    try:
        return _collect(_scan(source, None), wanted, repeated)
    except _UNREADABLE as error:
        raise _damaged(source, error) from None


def _collect(part: pl.LazyFrame, wanted: Sequence[str] | None, repeated: frozenset[str]) -> pl.DataFrame:
    schema = part.collect_schema()
    names = schema.names() if wanted is None else wanted
    texts = [pl.col(name).cast(pl.Categorical) for name in names if name in repeated and schema[name] == pl.String]
    # The streaming engine casts piece by piece, so that the text never lies in memory as a whole.
    return part.select(names).with_columns(texts).collect(engine="streaming")


def _joined(frames: Sequence[pl.DataFrame], sources: Sequence[str]) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        problem = f"must have the same columns and types as the other files of the glob; {_first_line(error)}"
        raise InputError.at(f"{sources[0]} ... {sources[-1]}", problem) from None


def _damaged(source: str, error: BaseException) -> InputError:
    if _is_remote(source):
        return InputError.at(source, f"cannot be read: {_first_line(error)}. Check the address and your credentials")
    kind = next(suffix for suffix in _SCANS if source.lower().endswith(suffix))
    advice = "The file may be cut off, damaged or of another format; write or fetch it again"
    return InputError.at(source, f"cannot be read as {kind}: {_first_line(error)}. {advice}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
