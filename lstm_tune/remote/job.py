"""What a job does on the cluster: looks whether it can work there, then becomes `lstm-tune run` or `resume`.

Ray starts it in a folder that it deletes afterwards, so runs go into a folder of the home directory. Imports little,
as libraries may be missing.
"""

import os
import sys
from pathlib import Path

from lstm_tune.remote.orders import Orders
from lstm_tune.remote.versions import differences, missing_modules
from lstm_tune.spec.events import Stamped, Warned

HOME = Path("~/lstm-tune-jobs")
"""What a relative `output.directory` is relative to, on the node that drives the run."""


def main() -> None:
    """Carries out the orders in the current folder."""
    folder = Path.cwd()
    orders = Orders.read(folder)
    if missing := missing_modules():
        sys.exit(
            f"The cluster's nodes must have what lstm-tune needs, and lack {', '.join(missing)}. Install it there "
            "(cluster/install.sh), or let the job install it: lstm-tune submit --pip"
        )
    for sentence in differences(orders.versions):
        sys.stdout.write(Stamped(0.0, Warned(sentence)).to_json() + "\n")
    sys.stdout.flush()
    home = HOME.expanduser()
    home.mkdir(exist_ok=True)
    os.chdir(home)
    command = [sys.executable, "-P", "-m", "lstm_tune", *orders.arguments(folder)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
