"""`python -m lstm_tune` is `lstm-tune`."""

from lstm_tune.cli.main import main

main()
