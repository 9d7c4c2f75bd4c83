import gzip
from pathlib import Path

import polars as pl
import pytest

from lstm_tune.data.reading import copy_data, file_hash, read_frame
from lstm_tune.spec.errors import InputError

ROWS = pl.DataFrame({"ds": ["2020-01-01", "2020-01-02"], "y": [1.5, 2.5], "note": ["a", "b"]})


def write(path: Path) -> None:
    writers = {
        ".csv": lambda: ROWS.write_csv(path),
        ".tsv": lambda: ROWS.write_csv(path, separator="\t"),
        ".gz": lambda: path.write_bytes(gzip.compress(ROWS.write_csv().encode())),
        ".parquet": lambda: ROWS.write_parquet(path),
        ".arrow": lambda: ROWS.write_ipc(path),
        ".ndjson": lambda: ROWS.write_ndjson(path),
        ".jsonl": lambda: ROWS.write_ndjson(path),
    }
    writers[path.suffix]()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.arrow", "a.ndjson", "a.jsonl"])
def test_every_format_gives_the_wanted_columns(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    frame = read_frame(name, folder=tmp_path, columns=["y", "ds"])
    assert frame.to_dict(as_series=False) == {"y": [1.5, 2.5], "ds": ["2020-01-01", "2020-01-02"]}
    assert read_frame(name, folder=tmp_path).columns == ["ds", "y", "note"]


def test_glob_joins_files_in_sorted_order_and_widens_types(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("y\n2.5\n")
    (tmp_path / "a.csv").write_text("y\n1\n")
    assert read_frame("*.csv", folder=tmp_path)["y"].to_list() == [1.0, 2.5]


def test_csv_column_may_turn_from_whole_to_decimal_late(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y\n" + "1\n" * 12_000 + "2.5\n")
    assert read_frame("a.csv", folder=tmp_path)["y"][-1] == 2.5


def test_csv_words_for_missing_values_are_null(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\na,1\na,\nb,NA\nb,NaN\nc,null\nc,N/A\n")
    assert read_frame("a.csv", folder=tmp_path)["y"].to_list() == [1, None, None, None, None, None]


def test_repeated_text_is_kept_as_categories(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    frame = read_frame("a.csv", folder=tmp_path, repeated=["ds", "y"])
    assert frame.dtypes == [pl.Categorical, pl.Float64, pl.String]


def test_missing_columns_are_named_together_with_those_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("month,passengers\n1,2\n")
    with pytest.raises(InputError, match=r"column 'passenger', .*Did you mean 'passengers'\?") as caught:
        read_frame("a.csv", folder=tmp_path, columns=["month", "passenger", "qqq"])
    assert len(caught.value.faults) == 2
    assert "Columns found: month, passengers" in str(caught.value)


def test_wrong_separator_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds;y\n2020-01-01;2\n")
    with pytest.raises(InputError, match="seem to be separated by ';'"):
        read_frame("a.csv", folder=tmp_path, columns=["ds", "y"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", r"empty\.csv: .*0 bytes"),
        ("header.csv", b"ds,y\n", r"header\.csv: .*has no rows"),
        ("ragged.csv", b"ds,y\n1,2,3\n", r"ragged\.csv: cannot be read as \.csv: found more fields"),
        ("latin.csv", "ds,y\n\xfc,2\n".encode("latin1"), r"latin\.csv: cannot be read as \.csv: .*utf-8"),
        ("cut.csv.gz", b"\x1f\x8b\x08garbage", r"cut\.csv\.gz: cannot be read as \.csv\.gz: invalid gzip header"),
        ("cut.parquet", b"PAR1abc", r"cut\.parquet: cannot be read as \.parquet: .*cut off, damaged"),
        ("cut.arrow", b"ARROW1\0\0abc", r"cut\.arrow: cannot be read as \.arrow"),
        ("cut.ndjson", b'{"y":1}\n{"y":', r"cut\.ndjson: cannot be read as \.ndjson"),
        ("a.xlsx", b"PK", r"a\.xlsx: has the unknown ending '\.xlsx'\. Known: \.csv"),
        ("data", b"y\n1\n", r"data: has no ending that says its format"),
    ],
)
def test_unreadable_file_is_an_input_error_that_names_it(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(name, folder=tmp_path)
    assert caught.value.exit_code == 2


def test_absent_files_and_folders_are_input_errors(tmp_path: Path) -> None:
    write(tmp_path / "sales.csv")
    with pytest.raises(InputError, match=r"sale\.csv: does not exist; .* Did you mean 'sales\.csv'\?"):
        read_frame("sale.csv", folder=tmp_path)
    with pytest.raises(InputError, match=r"x-\*\.csv: matches no file"):
        read_frame("x-*.csv", folder=tmp_path)
    with pytest.raises(InputError, match="is a folder"):
        read_frame(".", folder=tmp_path)


def test_hash_depends_on_the_bytes_alone(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("y\n1\n")
    (tmp_path / "c.csv").write_text("y\n2\n")
    hashes = [file_hash(name, folder=tmp_path) for name in ("a.csv", "b.csv", "c.csv", "*.csv")]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert len(hashes[0]) == 64


def test_copied_files_keep_the_order_of_their_rows_and_their_hash(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / f"{number:02}").mkdir()
        (tmp_path / f"{number:02}" / "part.csv").write_text(f"y\n{number}\n")
    copied = copy_data("*/part.csv", folder=tmp_path, into=tmp_path / "data")
    assert read_frame(copied, folder=tmp_path)["y"].to_list() == list(range(11))
    assert file_hash(copied, folder=tmp_path) == file_hash("*/part.csv", folder=tmp_path)


def test_a_single_copied_file_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("y\n1\n")
    assert copy_data("sales.csv", folder=tmp_path, into=tmp_path / "data") == "data/sales.csv"
