"""One process at a time in a folder."""

import os
from contextlib import contextmanager

__all__ = ["alone_in"]

NAME = ".watch.lock"


@contextmanager
def alone_in(folder):
    """Context in which no other process is in the same context of a folder.

    The system ends the claim with the process, however that ends. Where the system has no such
    claims, there is none.

    Parameters
    ----------
    folder : str

    Raises
    ------
    BlockingIOError
        Another process is there.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    number = os.open(os.path.join(folder, NAME), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno, "Another watch writes to this folder; end it, or name another", folder
        ) from None
    finally:
        os.close(number)
