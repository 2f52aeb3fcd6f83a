"""A chapter moves on a small tree; its numbers are such as no chapter has, so that the tool leaves this file alone."""

import json
import subprocess

import nbformat
import pytest

from course_utils.notebook.exercises import fingerprint
from experiments import _tables
from tools.project.renumber import renumber

OLD, NEW, BEFORE = 41, 57, 40
ANSWERS, RECORDS = "src/course_utils/notebook/answers.json", "results/records.json"
SCRIPT = f'"""Makes ch{OLD}_tab.csv."""\nwrite("ch{OLD}_tab")\n'
PAGE = f"""See §{OLD}.3 and §{OLD}, not §{OLD}7; chapter
{OLD} and section {OLD}.2, `../{OLD}_apples.ipynb::share`, {OLD}_pears and 0.{OLD}.
Chapters 3, {BEFORE} and {OLD}. Chapters {BEFORE} to {OLD}. All chapters ({BEFORE}, {OLD}).
## {OLD}.1 Trees
<!-- deck {OLD} -->
"""
MOVED = f"""See §{NEW}.3 and §{NEW}, not §{OLD}7; chapter
{NEW} and section {NEW}.2, `../{NEW}_apples.ipynb::share`, {OLD}_pears and 0.{OLD}.
Chapters 3, {BEFORE} and {NEW}. Chapters {BEFORE} to {OLD}. All chapters ({BEFORE}, {OLD}).
## {NEW}.1 Trees
<!-- deck {NEW} -->
"""


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


def step(exercise, name, digits, value, wrong):
    entry = {"digits": digits, "hash": fingerprint(exercise, name, value), "hints": ["look"]}
    return entry | {"distractors": [{"hash": fingerprint(exercise, name, wrong), "says": "no"}]}


@pytest.fixture
def tree(tmp_path):
    ids = f"{OLD}a", f"{OLD}clinic1", f"{BEFORE}a"
    answers = {ids[0]: {"x": step(ids[0], "x", 2, -314, 271), "why": step(ids[0], "why", None, "a ripe pear", "plum")}}
    answers |= {ids[1]: {"lost": step(ids[1], "lost", None, "said nowhere", "plum")}}
    answers |= {ids[2]: {"x": step(ids[2], "x", 0, 3, 4)}}
    text = {
        f"notebooks/{OLD}_apples.ipynb": notebook(
            f"# {OLD}. Apples\nin chapter\n{OLD}, §{OLD}.1", f'check("{ids[0]}")'
        ),
        f"notebooks/solutions/{OLD}_apples.ipynb": notebook(f"check('{ids[0]}', why='A ripe  pear')", '"plum"'),
        f"notebooks/{BEFORE}_seeds.ipynb": notebook(f'results("ch{OLD}_tab")  # "{ids[2]}"'),
        f"experiments/ch{OLD}_tab.py": SCRIPT,
        f"results/ch{OLD}_tab.csv": "a\n1\n",
        "results/old.csv": "a\n1\n",
        "book/page.md": PAGE,
        f"assessment/{OLD}.yml": f'- ask: Why?\n  section: "{OLD}.2"\n',
        "book/parts.yml": f"needs:\n  {OLD}: [3, {BEFORE}]\n  99: [{OLD}]\n",
        "book/notation.md": f"| x | {OLD} | a | {OLD} |\n",
        "CHANGELOG.md": f"chapter {OLD} was written\n",
        ANSWERS: json.dumps(answers),
    }
    for name, words in text.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(words, encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(bytes([137, 255, 0]) + f"ch{OLD}_".encode())
    code = _tables.fingerprint(tmp_path / f"experiments/ch{OLD}_tab.py")
    rows = {f"ch{OLD}_tab.csv": code, "old.csv": "of another script"}
    rows = {table: {"table": "0", "script": f"ch{OLD}_tab", "code": code} for table, code in rows.items()}
    (tmp_path / RECORDS).write_text(json.dumps(rows), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_chapter_moves(tree):
    report = renumber(tree, OLD, NEW)

    def read(name):
        return (tree / name).read_text(encoding="utf-8")

    assert not [path for path in tree.rglob(f"*{OLD}_*") if ".git" not in path.parts]
    cells = json.loads(read(f"notebooks/{NEW}_apples.ipynb"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    assert sources == [f"# {NEW}. Apples\nin chapter\n{NEW}, §{NEW}.1", f'check("{NEW}a")']
    assert f"check('{NEW}a'" in read(f"notebooks/solutions/{NEW}_apples.ipynb")
    assert f"ch{NEW}_tab" in read(f"notebooks/{BEFORE}_seeds.ipynb")
    assert f"{BEFORE}a" in read(f"notebooks/{BEFORE}_seeds.ipynb")
    assert read("book/page.md") == MOVED
    assert read(f"assessment/{NEW}.yml") == f'- ask: Why?\n  section: "{NEW}.2"\n'
    assert read("book/parts.yml") == f"needs:\n  {NEW}: [3, {BEFORE}]\n  99: [{OLD}]\n"
    assert read("book/notation.md") == f"| x | {OLD} | a | {NEW} |\n"
    assert read("CHANGELOG.md") == f"chapter {OLD} was written\n"
    answers, exercise = json.loads(read(ANSWERS)), f"{NEW}a"
    assert list(answers) == [f"{BEFORE}a", exercise, f"{NEW}clinic1"]
    assert answers[exercise]["x"] == step(exercise, "x", 2, -314, 271)
    assert answers[exercise]["why"] == step(exercise, "why", None, "a ripe pear", "plum")
    records = json.loads(read(RECORDS))
    code = _tables.fingerprint(tree / f"experiments/ch{NEW}_tab.py")
    assert records[f"ch{NEW}_tab.csv"] == {"table": "0", "script": f"ch{NEW}_tab", "code": code}
    assert records["old.csv"]["code"] == "of another script"  # it was stale before, and says so still
    said = [line.partition(": ")[0] for line in report]
    assert said == [ANSWERS, "CHANGELOG.md:1", "book/notation.md:1", "book/page.md:3", "book/parts.yml:3"]
    with pytest.raises(SystemExit, match=f"a chapter {OLD} has to be there"):
        renumber(tree, OLD, NEW)
