"""The workflow files: pinned actions, least permissions, and targets and Pythons that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    ("docs", "deploy"): {"pages": "write", "id-token": "write"},
    ("release", "publish"): {"id-token": "write"},
}
"""The only jobs that may do more than read."""

pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def workflow(path):
    return pytest.importorskip("yaml").safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_actions_are_pinned_to_a_major_version(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"(actions|pypa)/[\w/-]+@(v\d+|release/v1)", action), action


def test_jobs_read_and_no_more(path):
    content = workflow(path)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job.get("permissions") == WRITES.get((path.stem, name)), name
        assert job["timeout-minutes"] <= 60
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_no_secret_and_no_text_from_outside_in_a_command(path):
    assert "secrets." not in path.read_text(encoding="utf-8")
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


def test_commands_are_targets_and_files_that_exist(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [step["run"] for step in steps(path) if "run" in step]
    for target in re.findall(r"^make ([\w-]+)", "\n".join(commands), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in re.findall(r"[\w./]+\.(?:txt|py)\b", "\n".join(commands)):
        assert (ROOT / name).is_file() or name == "skweiper/version.py", name


def test_pythons_are_supported_ones(path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported = SpecifierSet(project["requires-python"])
    tried = set(re.findall(r'"(3\.\d+)"', path.read_text(encoding="utf-8")))
    assert tried and all(supported.contains(python) for python in tried)
    if path.stem == "tests":
        classified = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
        assert set(classified) <= tried
