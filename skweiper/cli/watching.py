"""A folder is watched: each file that arrives gets its decisions, once, whatever happens.

The decisions of a file are written first, then the state that knows of it; each whole or not at
all. Killed between the two, the next watch takes that file first and writes the same decisions
again.
"""

import os
from time import sleep
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skweiper.cli.arrivals import arrivals, look_at, settled
from skweiper.cli.errors import MISTAKES, one_line
from skweiper.cli.output import tell
from skweiper.cli.scoring import scored_parts
from skweiper.cli.watch_state import FileRecord, WatchState

__all__ = ["Watch", "looks", "take"]


class Watch(NamedTuple):
    """What reads, what decides, and where to write.

    Attributes
    ----------
    reading : Reading
    detector : estimator
    state : WatchState
        Changed by each file.
    output : str
        Folder.
    told : set of Arrival
        Files of which something was told that is told once.
    """

    reading: Any
    detector: Any
    state: WatchState
    output: str
    told: set[Any]

    def decisions_of(self, arrival: Any) -> str:
        """Path of a file's decisions."""
        return os.path.join(self.output, arrival.name + self.state.settings["ending"])

    def waiting(self, ready: list[Any]) -> list[Any]:
        """Those files that are to be read, in that order.

        Parameters
        ----------
        ready : list of Arrival

        Returns
        -------
        list of Arrival
            First one whose decisions are there while the state does not know of it.
        """
        new = [each for each in ready if self._is_new(each)]
        return sorted(new, key=lambda each: not os.path.exists(self.decisions_of(each)))

    def _is_new(self, arrival):
        record = self.state.files.get(arrival.name)
        return record is None or (record.problem is not None and not record.is_of(arrival))

    def changed(self, ready: list[Any]) -> list[Any]:
        """Those files that were scored and are other ones now, under the same names."""
        scored = {n: each for n, each in self.state.files.items() if each.problem is None}
        return [e for e in ready if e.name in scored and not scored[e.name].is_of(e)]


def looks(folder, interval, once):
    """Yield, look by look, the files of a folder that did not change since the look before.

    Parameters
    ----------
    folder : str
    interval : float
        Seconds between two looks.
    once : bool
        Whether the first result is the last.

    Yields
    ------
    list of Arrival
    """
    before = arrivals(folder)
    while True:
        sleep(interval)
        now = arrivals(folder)
        yield settled(before, now)
        if once:
            unsettled = [each.name for each in now if each not in set(before)]
            if unsettled:
                tell(f"Still being written, and left for the next time: {', '.join(unsettled)}.")
            return
        before = now


def take(watch, arrival):
    """Score a file, write its decisions and remember it.

    Parameters
    ----------
    watch : Watch
    arrival : Arrival

    Returns
    -------
    FileRecord or None
        None where the file changed while it was read: it is not settled, and was not taken.

    Raises
    ------
    OSError
        The decisions or the state cannot be written.
    """
    monitor = watch.state.monitor
    record = FileRecord(arrival.size, arrival.modified, monitor.martingale.n_seen)
    try:
        scores, index = _scored(watch, arrival)
    except MISTAKES as error:
        record = record._replace(problem=one_line(error))
    if look_at(arrival.path) != arrival:
        return None
    if record.problem is None:
        rows = monitor.update_scores(scores, index)
        _write(watch.decisions_of(arrival), rows, index)
        record = record._replace(n_samples=len(rows), n_ood=int(rows.is_ood.sum()))
    watch.state.files[arrival.name] = record
    watch.state.save(watch.output)
    return record


def _scored(watch, arrival):
    """Scores of all rows of a file, and what names them or None."""
    dump = watch.reading.features(arrival.path)
    parts = list(scored_parts(watch.detector, dump, arrival.name))
    scores = np.concatenate([part for part, _ in parts])
    if parts[0][1] is None:
        return scores, None
    first, *others = (index for _, index in parts)
    return scores, first.append(others)


def _write(path, rows: pd.DataFrame, index):
    from skweiper.io import save_scores

    columns = {
        "score": rows.score.to_numpy(),
        "p_value": rows.p_value.to_numpy(),
        "prediction": np.where(rows.is_ood, -1, 1),
        "log10_wealth": rows.log10_wealth.to_numpy(),
    }
    save_scores(path, columns, index)
