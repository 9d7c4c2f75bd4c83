"""What a job is told to do: a small file that travels with it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

FILE = "job.json"
SPACE = "space.yaml"


@dataclass(frozen=True)
class Orders:
    """What a job does, and where it was ordered.

    Attributes:
        command: `run` or `resume`.
        target: the experiment file, relative to the folder of the orders; or the run's directory.
        options: further options of the command.
        versions: of Python and the libraries where the job was submitted.
    """

    command: str
    target: str
    options: list[str]
    versions: dict[str, str]

    def write(self, folder: Path) -> None:
        """Writes the orders into a folder."""
        (folder / FILE).write_text(json.dumps(dataclasses.asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Orders":
        """The orders in a folder."""
        return cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))

    def arguments(self, folder: Path) -> list[str]:
        """The command line of `lstm-tune` that carries them out; an experiment file lies in `folder`."""
        target = str(folder / self.target) if self.command == "run" else self.target
        return [self.command, target, *self.options, "--address", "auto", "--json"]
