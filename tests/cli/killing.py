"""A watch in a child process, which is killed at a chosen moment as a power cut would end it."""

import os
import signal

from skweiper.cli.commands.watch import taken
from skweiper.cli.data import Reading
from skweiper.cli.watch_state import opened_state
from skweiper.cli.watching import Watch, looks
from skweiper.io import open_features, save_scores  # noqa: F401  before children are forked

OPERATIONS = ("fsync", "replace")
"""What makes files outlast the process: before each of them, the disk is in a state of its own."""


def watch_once(detector, folder, out, kill_before=None):
    """What `skweiper watch --once` does after it has read its arguments.

    Parameters
    ----------
    detector : detector
        Calibrated.
    folder, out : str
    kill_before : int, default=None
        Number, from 0 on, of the operation on files before which the process is killed.
    """
    if kill_before is not None:
        count_down(kill_before)
    with opened_state(out, detector, {"ending": ".csv"}) as state:
        watched = Watch(Reading(), detector, state, out, set())
        for ready in looks(folder, 0, once=True):
            taken(watched, ready, show=lambda results: None)


def count_down(n_left):
    """Kill this process before a later one of its operations on files."""
    left = [n_left]

    def counted(operation):
        def call(*arguments, **options):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return operation(*arguments, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))
