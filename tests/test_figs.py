"""Each diagram is what its script draws, and has a script."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "figs").glob("[!_]*.py"))
LOCKED = re.search(r"^matplotlib==(\d+\.\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]


def test_each_picture_has_its_script():
    assert sorted(path.stem for path in (ROOT / "figs").glob("*.svg")) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_draws_the_committed_picture(name, tmp_path):
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book" / "parts.yml", tmp_path / "book")
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copytree(ROOT / "figs", tmp_path / "figs", ignore=shutil.ignore_patterns("*.svg"))
    subprocess.run([sys.executable, f"figs/{name}.py"], cwd=tmp_path, check=True)
    drawn, committed = ((place / "figs" / f"{name}.svg").read_text() for place in (tmp_path, ROOT))
    if not mpl.__version__.startswith(f"{LOCKED}."):  # another version sets letters a hair apart
        drawn, committed = (re.search(r'viewBox="[^"]+"', text)[0] for text in (drawn, committed))
    assert drawn == committed


def test_no_card_of_the_map_is_cut(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "figs")
    plan = yaml.safe_load((ROOT / "book/parts.yml").read_text(encoding="utf-8"))
    (ax,) = runpy.run_path(str(ROOT / "figs/book_map.py"))["draw"](plan["parts"], plan["needs"]).axes
    cards = [patch.get_extents() for patch in ax.patches]
    assert len(cards) > len(plan["parts"])
    assert all(ax.bbox.x0 <= card.x0 and card.x1 <= ax.bbox.x1 and ax.bbox.y0 <= card.y0 for card in cards)
