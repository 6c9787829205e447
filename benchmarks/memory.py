"""How much memory a call takes, from what Linux says of this process; None elsewhere."""

import ctypes
import gc
import threading
from pathlib import Path
from time import sleep

KIBIBYTES_PER_MEBIBYTE = 1024


def status_mebibytes(field):
    """A field of this process's status in MiB, such as VmHWM (highest so far) or RssAnon."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(field))
    return int(kibibytes) / KIBIBYTES_PER_MEBIBYTE


def peak_mebibytes(call):
    """Growth of the resident set at its highest during the call."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # or freed memory would hide what is taken
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    except OSError:
        return None
    before = status_mebibytes("VmRSS")
    call()
    return status_mebibytes("VmHWM") - before


class PeakAnonymous:
    """Watch, in a thread, by how much memory grows that is no page of a mapped file."""

    def __enter__(self):
        self.start = self.peak = status_mebibytes("RssAnon")
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.stopped.is_set():
            self.peak = max(self.peak, status_mebibytes("RssAnon"))
            sleep(0.002)

    def __exit__(self, *failure):
        self.stopped.set()
        self.thread.join()

    @property
    def growth(self):
        """MiB."""
        return self.peak - self.start
