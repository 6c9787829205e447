"""The Dockerfile: built and run where Docker is, read everywhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BASES = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
TAG = "skweiper-under-test"


def docker(*arguments, check=True):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def image():
    if not shutil.which("docker"):
        pytest.skip("no Docker")
    info = docker("info", "--format", "{{.OSType}}", check=False)
    if info.returncode or info.stdout.strip() != "linux":
        pytest.skip("no Docker daemon for Linux images")
    if any(docker("pull", "--quiet", base, check=False).returncode for base in BASES):
        pytest.skip("the base image cannot be had")
    built = docker("build", "--quiet", "--tag", TAG, str(ROOT), check=False)
    assert built.returncode == 0, built.stderr
    yield TAG
    docker("image", "rm", "--force", TAG)


@pytest.mark.parametrize("user", [[], ["--user", "12345:12345"]], ids=["its user", "any user"])
def test_the_image_runs_the_demo_without_network_or_rights(image, user):
    run = ["run", "--rm", "--network=none", "--cap-drop=ALL", *user, image]
    shown = docker(*run, "demo", "--plot", "/tmp/scores.png").stdout
    assert "WeiPer+KLD" in shown and "/tmp/scores.png" in shown


def test_nobody_is_root_in_the_image(image):
    entry = ["run", "--rm", "--entrypoint", "id", image, "-u"]
    assert docker(*entry).stdout.strip() == "10001"


def instructions(name):
    """Arguments of the last stage's instructions of a name."""
    stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    return re.findall(rf"^{name} (.+)$", stage, re.MULTILINE)


def test_the_last_stage_leaves_root_and_starts_the_command_line():
    assert instructions("USER") == ["skweiper"]
    assert instructions("ENTRYPOINT") == ['["skweiper"]']


def test_what_the_image_copies_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert allowed == {"skweiper", "constraints", "pyproject.toml", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in allowed - {"skweiper"})
