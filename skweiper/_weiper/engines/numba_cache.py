"""numba's cache on disk, such that whatever is wrong with it costs time and no result.

By itself numba fails where no folder can be written to, where the disk is full, and for ever where
a file is damaged. Its private names are used here and in `numba_compilers` only; where a version
lacks them, numba's own cache stays in place.
"""

import pickle
from contextlib import suppress
from functools import cache
from hashlib import sha256

import numba

from skweiper._support.notice import warn_once


def let_cache(kernel):
    """Have the kernel's machine code cached on disk where that is possible; return the kernel."""
    # Whichever line fails leaves behind a kernel that works; cache_problem finds out why.
    with suppress(Exception):
        kernel.enable_caching()
        kernel._cache = SafeCache(kernel._cache)
    return kernel


@cache
def cache_problem():
    """What numba raises when it is to cache a function of this folder, or None."""
    try:
        numba.njit(cache=True)(_nothing)
    except Exception as error:
        return error
    return None


def _nothing():
    """Stands for the kernels: where numba caches depends on the folder of the source only."""


def warn_where_uncached():
    """Warn, once per process, where no kernel can be cached."""
    if problem := cache_problem():
        _warn(f"it finds no folder for it ({problem})")


def _warn(reason):
    warn_once(
        "numba's cache",
        f"numba cannot keep its compiled code on disk: {reason}. Every process compiles it again, "
        "which takes seconds. Set the environment variable NUMBA_CACHE_DIR to a writable folder "
        "with free space before Python starts, or pass engine='numpy'.",
    )


class SafeCache:
    """A kernel's cache in which nothing is found, rather than an error raised."""

    def __init__(self, cache):
        cache._cache_file = CheckedFile(cache._cache_file)
        self._cache = cache

    def __getattr__(self, name):
        return getattr(self._cache, name)

    def load_overload(self, signature, target_context):
        try:
            return self._cache.load_overload(signature, target_context)
        except Exception:  # there is nothing that a damaged pickle may not raise
            return None

    def save_overload(self, signature, compiled):
        try:
            self._save(signature, compiled)
        except Exception as error:
            _warn(f"{type(error).__name__}: {error}")

    def _save(self, signature, compiled):
        try:
            self._cache.save_overload(signature, compiled)
        except OSError:
            raise
        except Exception:  # the index, which is read first, is damaged
            self._cache.flush()
            self._cache.save_overload(signature, compiled)


class CheckedFile:
    """A kernel's files, which tell when machine code is not what was saved under its key.

    Two processes that compile for different arguments or processors at once may give one name to
    both results, and bytes that the disk changed would be run: neither is an error of reading.
    """

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def save(self, key, data):
        content = self._file._dump(data)
        self._file.save(key, (key, sha256(content).digest(), content))

    def load(self, key):
        found = self._file.load(key)
        if found is None:
            return None
        saved_key, digest, content = found
        if saved_key != key or sha256(content).digest() != digest:
            raise ValueError("Damaged, or saved under another key.")
        return pickle.loads(content)
