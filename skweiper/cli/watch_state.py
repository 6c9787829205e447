"""What a watch knows: its monitor, and which files it has dealt with. It outlasts the process."""

import json
import os
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np

from skweiper._support.whole_files import remove_unfinished, written_whole
from skweiper.cli.exclusive import alone_in
from skweiper.cli.hyperparameters import hyperparameters_of
from skweiper.monitoring import StreamMonitor

__all__ = ["FileRecord", "WatchState", "opened_state"]

STATE_NAME = "watch-state.npz"
RECORDS = "watch"
"""Name of the array of text beside those of the monitor."""
DEFAULTS = {"ending": ".parquet", "random_state": 0}
"""Settings that the monitor does not keep."""


class FileRecord(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    size, modified : int
        As it was when it was read.
    first_row : int
        Number of its first row in the stream; of a file that was set aside, rows before it.
    n_samples, n_ood : int
    problem : str or None
        Why it was set aside.
    """

    size: int
    modified: int
    first_row: int
    n_samples: int = 0
    n_ood: int = 0
    problem: str | None = None

    def is_of(self, arrival: Any) -> bool:
        """Whether the file is still as it was."""
        return (self.size, self.modified) == (arrival.size, arrival.modified)


class WatchState:
    """A monitor, the files that it has seen, and the settings that stay the same.

    Parameters
    ----------
    monitor : StreamMonitor
    settings : dict of str to object
        In JSON's types.
    files : dict of str to FileRecord, default=None
        By their names.
    """

    def __init__(
        self,
        monitor: StreamMonitor,
        settings: dict[str, Any],
        files: dict[str, FileRecord] | None = None,
    ) -> None:
        self.monitor = monitor
        self.settings = settings
        self.files = {} if files is None else files

    @staticmethod
    def is_in(folder: str) -> bool:
        """Whether a folder holds the state of a watch."""
        return os.path.isfile(os.path.join(folder, STATE_NAME))

    def save(self, folder: str) -> None:
        """Write the state, whole or not at all, in place of the former one."""
        records = json.dumps({"settings": self.settings, "files": self.files})
        arrays: dict[str, Any] = {RECORDS: np.asarray(records), **self.monitor.get_state()}
        with written_whole(os.path.join(folder, STATE_NAME)) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, folder: str, detector: Any) -> Self:
        """The state in a folder.

        Parameters
        ----------
        folder : str
        detector : detector
            The one that was watched with.

        Returns
        -------
        WatchState

        Raises
        ------
        ValueError
            The file is no such state, or that of another detector.
        """
        path = os.path.join(folder, STATE_NAME)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            records = json.loads(str(arrays.pop(RECORDS)))
        except OSError:
            raise
        except Exception as error:
            raise ValueError(
                f"{path} cannot be read as the state of a watch: {error!r}. Begin anew with "
                "another --output."
            ) from error
        monitor = StreamMonitor.from_state(detector, arrays)
        files = {name: FileRecord(*record) for name, record in records["files"].items()}
        return cls(monitor, records["settings"], files)


@contextmanager
def opened_state(folder: str, detector: Any, given: dict[str, Any]):
    """The state of the watch that writes to a folder, or of a new one, and of no other process.

    Parameters
    ----------
    folder : str
        Made where there is none.
    detector : detector
        Calibrated for p-values.
    given : dict of str to object
        Settings that were asked for: those in `DEFAULTS`, and the parameters of `StreamMonitor`.

    Yields
    ------
    WatchState
        As it is on the disk.

    Raises
    ------
    ValueError
        Other settings than those that the watch began with, or a folder of other files.
    """
    os.makedirs(folder, exist_ok=True)
    with alone_in(folder):
        remove_unfinished(folder)
        if WatchState.is_in(folder):
            state = WatchState.load(folder, detector)
            _check_same(state.settings, given, folder)
        else:
            _check_empty(folder)
            state = _new_state(detector, given)
            state.save(folder)
        yield state


def _new_state(detector, given):
    of_monitor = {p.name: p.default for p in hyperparameters_of(StreamMonitor).values()}
    of_monitor.pop("detector")
    settings = DEFAULTS | of_monitor | given
    kept = {name: value for name, value in settings.items() if name != "ending"}
    return WatchState(StreamMonitor(detector, **kept), settings)


def _check_same(settings, given, folder):
    for name, value in given.items():
        if settings.get(name) != value:
            raise ValueError(
                f"The watch that writes to {folder} began with {_option(name)} "
                f"{settings.get(name)}, got {value}: its figures would mix the two. Leave the "
                "option out, or begin anew with another --output."
            )


def _option(name):
    return {"random_state": "--seed"}.get(name, f"--{name}")


def _check_empty(folder):
    others = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if others:
        raise ValueError(
            f"{folder} holds files, such as {others[0]}, but no {STATE_NAME}: it belongs to no "
            "watch. Name an empty or a new folder as --output."
        )
