"""Where the command line begins: its packages are there, and every end of the process is tidy."""

import signal
import sys
import threading
from collections.abc import Sequence

__all__ = ["main"]

PACKAGES = ("typer", "rich", "skops")
INTERRUPTED, TERMINATED = 130, 143
REMEDY = "Run: pip install 'skweiper[cli]'."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Those of the process.

    Raises
    ------
    SystemExit
        0 done, 1 bad input, 2 wrong usage, 3 more OOD rows than `predict --fail-on-ood` allows or
        an alarm of `watch --fail-on-alarm`, 130 interrupted, 143 terminated.
    """
    if threading.current_thread() is threading.main_thread():
        # A scheduler's signal unwinds the stack as Ctrl-C does: no file is left half written.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        run = _imported()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(args=None if arguments is None else list(arguments), prog_name="skweiper")


def _imported():
    try:
        from skweiper.cli.app import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        sys.exit(f"Error: The command line needs {error.name}, which is not installed. {REMEDY}")
    return app
