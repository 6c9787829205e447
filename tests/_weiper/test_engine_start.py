"""The engine starts and scores where numba cannot be imported, cannot cache, or finds a bad cache.

What needs rights taken away, or another numba, is done in processes of their own.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from skweiper._support import notice

REPOSITORY = Path(__file__).parents[2]

FIT_AND_SCORE = """
import json, sys, warnings
import numpy as np
from skweiper import WeiPerDetector

def scores(engine):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((30, 6)).astype(np.float32)
    detector = WeiPerDetector(rng.randn(3, 6), method="msp", n_repeats=4, engine=engine,
                              random_state=0)
    try:
        return detector.fit(X).score_samples(X).tolist()
    except ImportError as error:
        return str(error)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = [scores(engine) for engine in sys.argv[1:]]
modules = [module for name, module in sys.modules.items() if "_weiper.engines.numba" in name]
kernels = [kernel for module in modules for kernel in vars(module).values()]
stats = [kernel.stats for kernel in kernels if hasattr(kernel, "stats")]
print(json.dumps({
    "scores": found,
    "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
    "compiled": sum(sum(s.cache_misses.values()) for s in stats),
}))
"""


def start(*engines, path=(REPOSITORY,), cache=None, home=None, wrapper=(), **options):
    """Start a process that fits and scores with one engine after the other."""
    env = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, path))
    env["NUMBA_CACHE_DIR"] = str(cache or "")
    env["HOME"] = str(home or env.get("HOME", ""))
    command = [*wrapper, sys.executable, "-c", FIT_AND_SCORE, *engines]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=env, cwd=path[0], **pipes, **options)


def result(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """The scores of a process in which nothing is wrong, and the cache that it filled."""
    pytest.importorskip("numba")
    cache = tmp_path_factory.mktemp("cache")
    found = result(start("numba", cache=cache))
    assert found["warnings"] == []
    return found["scores"][0], cache


def damage(cache):
    """Damage the kernel that calls the others, and of these each third in another way."""
    indices = sorted(cache.rglob("*.nbi"))
    for i, index in enumerate(indices):
        code = index.with_suffix(".1.nbc")
        if i % 3 == 0:
            truncate(index)
        elif i % 3 == 1 or "_over_repeats" in index.name:
            truncate(code)
    assert len(indices) > 3


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_cache_is_rebuilt_for_the_next_process(healthy, tmp_path):
    expected, filled = healthy
    cache = shutil.copytree(filled, tmp_path / "cache")
    damage(cache)
    for is_repaired in (False, True):
        found = result(start("auto", cache=cache))
        assert found["scores"] == [expected]
        assert found["warnings"] == []
        assert (found["compiled"] == 0) == is_repaired


def test_a_full_disk_fails_no_call(healthy, tmp_path):
    resource = pytest.importorskip("resource")
    expected, filled = healthy
    cache = shutil.copytree(filled, tmp_path / "cache")
    damage(cache)

    def fill_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    found = result(start("auto", "numba", cache=cache, preexec_fn=fill_disk))
    assert found["scores"] == [expected, expected]
    (warning,) = found["warnings"]
    assert warning.startswith("UserWarning: numba cannot keep its compiled code on disk: OSError")
    assert "NUMBA_CACHE_DIR" in warning


def without_rights(folder):
    """Command that runs another one such that it cannot write to read-only folders."""
    if os.name == "nt":
        pytest.skip("needs the permissions of Unix")
    wrapper = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    if wrapper and not shutil.which("setpriv"):
        pytest.skip("run as root, needs setpriv to give up root's rights")
    can_write = [*wrapper, sys.executable, "-c", "import sys; open(sys.argv[1], 'w')"]
    attempt = subprocess.run([*can_write, str(folder / "probe")], stderr=subprocess.PIPE, text=True)
    if "PermissionError" not in attempt.stderr:
        pytest.skip("cannot give up the right to write to a read-only folder")
    return wrapper


@pytest.fixture
def read_only(tmp_path):
    """A home and a copy of the package that cannot be written to."""
    home, package = tmp_path / "home", tmp_path / "site" / "skweiper"
    home.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "skweiper", package, ignore=ignored)
    folders = [home, package, *(path for path in package.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield home, package
    for folder in folders:
        folder.chmod(0o755)


def test_without_a_writable_folder_numba_works_uncached(healthy, read_only):
    home, package = read_only
    places = {"path": [package.parent], "home": home, "cache": home / "missing"}
    found = result(start("auto", "numba", wrapper=without_rights(home), **places))
    assert found["scores"] == [healthy[0], healthy[0]]
    (warning,) = found["warnings"]
    assert warning.startswith("UserWarning: numba cannot keep its compiled code on disk")
    assert "no locator available" in warning and "NUMBA_CACHE_DIR" in warning
    assert not list(home.iterdir())


@pytest.mark.parametrize("raised", ["RuntimeError", "SystemError"])
def test_a_numba_that_cannot_be_imported(raised, tmp_path):
    (tmp_path / "numba.py").write_text(f"raise {raised}('no such symbol')\n")
    found = result(start("numpy", "auto", "numba", "auto", path=(tmp_path, REPOSITORY)))
    numpy, first, message, second = found["scores"]
    assert numpy == first == second
    assert f"cannot be imported: {raised}: no such symbol. Run: pip install" in message
    (warning,) = found["warnings"]
    assert warning.startswith("UserWarning: engine='auto' computes with NumPy")
    assert f"{raised}: no such symbol. Run: pip install" in warning


@pytest.fixture
def compile_kernel(tmp_path, monkeypatch):
    """Compiles a small kernel anew, cached below `tmp_path`; warnings may be given again."""
    numba = pytest.importorskip("numba")
    from skweiper._weiper.engines.numba_compilers import compiled

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    notice._times_given.cache_clear()

    def compile_kernel():
        @compiled
        def double(x):
            return x + x

        return double

    yield compile_kernel
    notice._times_given.cache_clear()


def index_and_code(folder):
    (index,) = folder.rglob("*.nbi")
    return index, sorted(folder.rglob("*.nbc"))


def flip_a_bit(index, codes):
    content = bytearray(codes[0].read_bytes())
    content[len(content) // 2] ^= 1
    codes[0].write_bytes(content)


def exchange(index, codes):
    contents = [code.read_bytes() for code in reversed(codes)]
    for code, content in zip(codes, contents, strict=True):
        code.write_bytes(content)


DAMAGES = {
    "truncated index": lambda index, codes: truncate(index),
    "empty index": lambda index, codes: index.write_bytes(b""),
    "truncated code": lambda index, codes: truncate(codes[0]),
    "zeros": lambda index, codes: codes[0].write_bytes(bytes(codes[0].stat().st_size)),
    "flipped bit": flip_a_bit,
    "code under another's name": exchange,
    "no code": lambda index, codes: codes[0].unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_repaired(name, compile_kernel, tmp_path):
    kernel = compile_kernel()
    assert kernel(2) == 4 and kernel(0.5) == 1.0
    DAMAGES[name](*index_and_code(tmp_path))
    rebuilt = compile_kernel()
    assert rebuilt(2) == 4 and rebuilt(0.5) == 1.0
    assert sum(rebuilt.stats.cache_misses.values()) >= 1
    read = compile_kernel()
    assert read(2) == 4 and read(0.5) == 1.0
    assert sum(read.stats.cache_misses.values()) == 0


DOUBLES = """
from skweiper._weiper.engines.numba_compilers import compiled

@compiled
def double(x):
    return x + x

def check(values):
    assert [double(x) for x in values] == [x + x for x in values]
    return sum(double.stats.cache_misses.values())
"""


@pytest.mark.usefixtures("compile_kernel")
def test_two_processes_may_fill_a_cache_at_once(tmp_path, monkeypatch):
    (tmp_path / "doubles.py").write_text(DOUBLES)
    monkeypatch.syspath_prepend(tmp_path)
    path = os.pathsep.join(map(str, (tmp_path, REPOSITORY)))
    env = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path)}
    check = "import doubles; doubles.check([2, 0.5, True][::{}])"
    commands = [[sys.executable, "-W", "error", "-c", check.format(step)] for step in (1, -1)]
    processes = [subprocess.Popen(command, env=env) for command in commands]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    doubles = importlib.import_module("doubles")
    monkeypatch.delitem(sys.modules, "doubles")
    doubles.check([2, 0.5, True])
    assert importlib.import_module("doubles").check([2, 0.5, True]) == 0
    monkeypatch.delitem(sys.modules, "doubles")


def test_a_cache_that_numba_saved_by_itself_is_replaced(compile_kernel, tmp_path):
    kernel = compile_kernel()
    kernel._cache = kernel._cache._cache
    kernel._cache._cache_file = kernel._cache._cache_file._file
    assert kernel(2) == 4
    for misses in (1, 0):
        kernel = compile_kernel()
        assert kernel(2) == 4
        assert sum(kernel.stats.cache_misses.values()) == misses


def test_a_folder_that_is_lost_later_is_warned_of_once(compile_kernel, tmp_path):
    kernel, another = compile_kernel(), compile_kernel()
    (folder,) = tmp_path.iterdir()
    folder.rmdir()
    folder.write_bytes(b"")
    with pytest.warns(UserWarning, match=r"on disk: FileExistsError.*NUMBA_CACHE_DIR"):
        assert kernel(2) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert another(2) == 4


def test_a_numba_with_other_private_names_compiles_with_its_own_cache(compile_kernel, monkeypatch):
    from skweiper._weiper.engines import numba_cache

    def changed(cache):
        raise AttributeError("_cache_file")

    monkeypatch.setattr(numba_cache, "SafeCache", changed)
    kernel = compile_kernel()
    np.testing.assert_array_equal(kernel(np.arange(3)), [0, 2, 4])
    assert type(kernel._cache).__module__.startswith("numba.")
