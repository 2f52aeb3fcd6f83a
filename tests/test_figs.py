"""Each diagram is what its script draws, and has a script."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "figs").glob("[!_]*.py"))


def test_each_picture_has_its_script():
    assert sorted(path.stem for path in (ROOT / "figs").glob("*.svg")) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_draws_the_committed_picture(name, tmp_path):
    (tmp_path / "figs").mkdir()
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book" / "parts.yml", tmp_path / "book")
    for path in (ROOT / "figs").glob("*.py"):
        shutil.copy(path, tmp_path / "figs")
    subprocess.run([sys.executable, f"figs/{name}.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "figs" / f"{name}.svg").read_bytes() == (ROOT / "figs" / f"{name}.svg").read_bytes()
