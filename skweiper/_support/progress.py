"""A progress bar over chunks on stderr, for `verbose=1`."""


def track(items, total, description, verbose):
    """The items as they are, or behind a progress bar where `verbose` is positive.

    Raises
    ------
    ImportError
        A bar is asked for and rich is not installed.
    """
    if not verbose:
        return items
    try:
        from rich.console import Console
        from rich.progress import track as rich_track
    except ImportError as error:
        raise ImportError(
            "verbose=1 shows a progress bar, which needs rich. "
            "Run: pip install 'skweiper[cli]', or pass verbose=0."
        ) from error
    return rich_track(items, description, total, console=Console(stderr=True))
