"""Wheel and sdist: the same bytes each time, and nothing but what belongs there."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from packaging.metadata import parse_email
from packaging.requirements import Requirement

import skweiper

ROOT = Path(__file__).parents[1]
ENDINGS = {".py", ".typed", ".cu", ".npz", ".md"}
BUILD_DATE = "1700000000"


def build(source, folder, umask=0o022):
    """Wheel and sdist of a source folder, in the given folder."""
    pytest.importorskip("hatchling")
    if not (source / "skweiper").is_dir():
        pytest.skip("the package's source is not beside the tests")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": BUILD_DATE, "NO_COLOR": "1"}
    subprocess.run(
        command, cwd=source, env=environment, umask=umask, check=True, capture_output=True
    )
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    return next(path for name, path in built.items() if name.endswith("-py3-none-any.whl"))


@pytest.fixture(scope="module")
def sdist(built):
    return next(path for name, path in built.items() if name.endswith(".tar.gz"))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_in_sdist(sdist):
    with tarfile.open(sdist) as archive:
        return {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}


def test_a_build_from_the_sdist_gives_the_same_bytes(built, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build(source, tmp_path / "dist", umask=0o077)
    assert set(again) == set(built) and len(built) == 2
    for name, path in built.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_the_build_date_is_the_one_that_was_asked_for(wheel, sdist):
    with tarfile.open(sdist) as archive:
        assert {member.mtime for member in archive} == {int(BUILD_DATE)}
    with ZipFile(wheel) as archive:
        assert {info.date_time[:3] for info in archive.infolist()} == {(2023, 11, 14)}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "skweiper"
    there = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == there
    assert {PurePosixPath(name).suffix or name for name in found} <= ENDINGS | {"py.typed"}
    assert "skweiper/py.typed" in found and "skweiper/_weiper/engines/weiper.cu" in found


def test_licences_of_code_and_data_are_in_the_wheel(wheel):
    with ZipFile(wheel) as archive:
        licences = {
            name.partition(".dist-info/licenses/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/licenses/" in name
        }
    assert licences["LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "CC BY 3.0" in licences["skweiper/datasets/data/clinc150_features.md"]


def test_metadata_say_what_the_project_says(wheel, project):
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        content = archive.read(name)
    metadata, unknown = parse_email(content)
    assert not unknown
    assert metadata["version"] == skweiper.__version__
    assert metadata["license_expression"] == project["license"]
    assert metadata["requires_python"] == project["requires-python"]
    assert set(metadata["provides_extra"]) == set(project["optional-dependencies"])
    stated = [Requirement(text) for text in message_from_bytes(content).get_all("Requires-Dist")]
    assert active(stated, "") == requirements(project["dependencies"])
    for extra, needed in project["optional-dependencies"].items():
        assert active(stated, extra) - active(stated, "") == requirements(needed), extra


def active(stated, extra):
    """Requirements of the environment that asks for an extra, without their markers."""
    found = (item for item in stated if not item.marker or item.marker.evaluate({"extra": extra}))
    return requirements(str(item).partition(";")[0] for item in found)


def requirements(texts):
    return {
        (item.name, frozenset(item.extras), str(item.specifier)) for item in map(Requirement, texts)
    }


def test_the_sdist_is_what_git_keeps(sdist):
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    assert names_in_sdist(sdist) == kept | {"PKG-INFO"}


def test_the_sdist_has_what_tests_read(sdist):
    needed = {"pyproject.toml", "LICENSE", "README.md", "CONTRIBUTING.md", "CITATION.cff"}
    needed |= {"Makefile", "Dockerfile", "SECURITY.md", "constraints/demo.txt", ".ci/run"}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.*")}
    needed |= {name for name in tests if "__pycache__" not in name}
    assert needed <= names_in_sdist(sdist)
