"""The guides: their commands are commands, and those of the command line's print what it says."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "command_line.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(skweiper [^`]*\.[^`]*)`")
"""Commands within a line that name a file: others are names of commands."""
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?")
SECONDS = re.compile(r"in [\d.]+ s\b")


def blocks_of(page):
    """The blocks of a page that are in no language."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if not language]


def commands_of(page):
    """The lines of a page that run skweiper, and such commands within its text, as arguments."""
    lines = [line for block in blocks_of(page) for line in block.replace("\\\n", " ").splitlines()]
    lines = [line.partition("#")[0] for line in lines if line.startswith("skweiper ")]
    lines += INLINE.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
    found = [shlex.split(line)[1:] for line in lines]
    return [arguments for arguments in found if not arguments[0].startswith("-")]


def shown_outputs():
    """Commands of the guide, and what the block behind each shows."""
    return [
        (shlex.split(command)[1:], output)
        for command, output in pairwise(blocks_of(PAGE))
        if command.startswith("skweiper ") and not output.startswith(("skweiper ", "pip "))
    ]


@pytest.mark.parametrize("page", [*filter(commands_of, PAGES)], ids=lambda page: page.name)
def test_every_command_of_the_page_is_right_usage(page):
    pytest.importorskip("typer")
    from typer.main import get_command

    from skweiper.cli.app import app

    group = get_command(app)
    for name, *arguments in commands_of(page):
        group.get_command(None, name).make_context(name, arguments)


def test_commands_are_found_in_blocks_and_in_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`skweiper fit` as in `skweiper info x.npy`:\n\n```\nskweiper \\\n  info y  # y\n```\n"
    )
    assert commands_of(page) == [["info", "y"], ["info", "x.npy"]]
    assert len(commands_of(PAGE)) > 10


@pytest.fixture
def guide(clinc150, tmp_path, monkeypatch):
    """The files of the guide, in the current folder."""
    for name in ("typer", "rich", "skops", "pyarrow", "safetensors"):
        pytest.importorskip(name)
    from safetensors.numpy import save_file

    monkeypatch.chdir(tmp_path)
    noise = 2 * np.abs(np.random.RandomState(0).normal(size=(400, 256)))
    files = {
        "train": clinc150.train,
        "validation": clinc150.validation,
        "test": clinc150.test,
        "new": clinc150.test_oos[500:800],
        "tin": clinc150.test_oos[:500],
        "mnist": noise,
    }
    for name, X in files.items():
        table = pd.DataFrame(np.float32(X), columns=[f"f{i}" for i in range(256)])
        table.insert(0, "id", [f"{name}-{i}" for i in range(len(X))])
        table.to_parquet(f"{name}.parquet", index=False)
    Path("incoming").mkdir()
    shuffled = np.random.RandomState(0).permutation(clinc150.test)
    last = np.random.RandomState(0).permutation(np.r_[shuffled[1600:2000], clinc150.test_oos[:100]])
    days = {"monday": shuffled[:800], "tuesday": shuffled[800:1600], "wednesday": last}
    for name, X in days.items():
        table = pd.DataFrame(np.float32(X), columns=[f"f{i}" for i in range(256)])
        table.to_parquet(f"incoming/{name}.parquet", index=False)
    head = {"fc.weight": clinc150.weight, "fc.bias": clinc150.bias}
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in head.items()}, "head.safetensors")


def test_the_commands_print_what_the_guide_shows(guide):
    outputs = shown_outputs()
    assert len(outputs) == 6
    for arguments, shown in outputs:
        ended = run(*arguments)
        assert ended.code == (3 if "--fail-on-ood" in arguments else 0), ended.err
        found, shown = (SECONDS.sub("", text) for text in (ended.out + ended.err, shown))
        assert " ".join(NUMBER.sub("", found).split()) == " ".join(NUMBER.sub("", shown).split())
        # Engines and processors agree to rounding, not to the last digit.
        numbers = [
            [float(number.replace(",", "")) for number in NUMBER.findall(text)]
            for text in (found, shown)
        ]
        np.testing.assert_allclose(*numbers, rtol=2e-3, atol=0.2)
