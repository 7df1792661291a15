"""`python -m floodmark`: the command line."""

import sys

from ._floodmark import main
from ._run import program


def run() -> None:
    """The program `floodmark`, as it is installed with the package."""
    import signal

    # A command that only reads may simply die of Ctrl-C, and one that loads watches for it itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(["floodmark", *sys.argv[1:]], program()))


if __name__ == "__main__":
    run()
