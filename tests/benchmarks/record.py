"""Writes the last figures of every benchmark into README.md, between its two marks; those not measured anew stay."""

import json
from pathlib import Path

from benchmarking import Record, options, shown

from lstm_tune.spec.paths import write_atomically

README = Path(__file__).with_name("README.md")
HEADING = "### "
MARKS = ("<!-- figures: written by record.py -->", "<!-- end of figures -->")


def section(content: Record) -> str:
    """The table of one benchmark."""
    settings = ", ".join(f"{key} {shown(value)}" for key, value in content["settings"].items())
    lines = [f"{HEADING}{content['benchmark']}", "", f"{content['made_at']}; {content['machine']}; {settings}.", ""]
    lines += ["| figure | value | target | |", "|---|---|---|---|"]
    words = {True: "met", False: "**not met**", None: ""}
    for figure in content["figures"]:
        value = shown(figure["value"])
        lines.append(f"| {figure['name']} | {value} | {figure['target']} | {words[figure['is_met']]} |")
    return "\n".join(lines)


def with_figures(page: str, sections: list[str]) -> str:
    """The page with new sections between its marks, each in place of the old one of its name."""
    before, _, rest = page.partition(MARKS[0])
    old, _, after = rest.partition(MARKS[1])
    kept = [HEADING + text.strip() for text in old.split(HEADING)[1:]]
    by_name = {text.partition("\n")[0]: text for text in [*kept, *sections]}
    return "\n\n".join([before + MARKS[0], *(by_name[name] for name in sorted(by_name)), MARKS[1] + after])


def main() -> None:
    """The program."""
    parser = options(__doc__ or "", output="")
    folder = parser.parse_args().output
    contents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not contents:
        raise SystemExit(f"{folder}: holds no figures yet. Run a benchmark, or name another folder with --output")
    write_atomically(README, with_figures(README.read_text(), [section(content) for content in contents]))


if __name__ == "__main__":
    main()
