r"""Move a chapter to another number, with all that names it: files, headings, sections, exercises, tables, pages.

    python -m tools.project.renumber 17 20

What can be told is changed: ``17_NAME.ipynb``, ``ch17_NAME``, headings, ``§17.3``, "section 17.3", "chapter 17",
exercise ids, the plan in ``book/parts.yml``, decks, the chapter's column in the notation, the records of results. The
hashes of answers hang on the exercise's id: each is found again by trying (numbers by counting, words among those of
the chapter's notebooks) and stored anew. What remains is printed, a line each: lists such as "chapters 9 to 17", code
that counts chapters, answers that were not found. Afterwards run the moved notebooks, ``figs/book_map.py``, the rules.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from course_utils.notebook.exercises import fingerprint
from experiments import _tables
from tools.notebooks import execute

ROOT = Path(__file__).resolve().parents[2]
ANSWERS, RECORDS = Path("src/course_utils/notebook/answers.json"), Path("results/records.json")
SPARED = {"CHANGELOG.md", "tools/project/renumber.py"}  # say what was, and what is done
BREAK = r"\\n\",\s*\""  # between two lines of a cell
MOST = 3_000_000  # the largest answer that is tried, in units of its last digit


def files(root: Path) -> list[Path]:
    """The committed files, by their path below the root."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in names.split("\0") if name and (root / name).is_file()]


def moved(path: Path, old: str, new: str) -> Path:
    """The path of a file under the new number; the same path for a file of another chapter."""
    return path.with_name(re.sub(rf"^(ch)?{old}(?=_|\.yml$)", rf"\g<1>{new}", path.name))


def rules(old: int, new: int, stems: list[str], exercises: list[str]) -> list[tuple[str, str]]:
    """Patterns and what stands in their place, for any text; file names have two digits, headings no 0 in front."""
    two, names = f"{old:02}", "|".join(map(re.escape, stems)) or "(?!)"
    ids = "|".join(re.escape(each.removeprefix(two)) for each in exercises) or "(?!)"
    return [
        (rf"\bch{two}_", f"ch{new:02}_"),
        (rf"(?<!\w){two}_({names})\b", rf"{new:02}_\1"),
        (rf"(#+ ){old}\.(?=[ \d])", rf"\g<1>{new}."),
        (rf"§{old}(?!\d)", f"§{new}"),
        (rf"\b((?:[Ss]ection|[Cc]hapter)(?:\s|{BREAK})+){old}(?!\d)", rf"\g<1>{new}"),
        (rf"\b([Cc]hapters (?:\d+, )*\d+ and ){old}(?!\d)", rf"\g<1>{new}"),
        (rf"(?<=[\"'`]){two}({ids})(?=\\?[\"'`])", rf"{new:02}\1"),
        (rf"\b{two}({ids})(?=: (?:right|\d|'))", rf"{new:02}\1"),  # what a check has printed
        (rf"<!-- deck {old} -->", f"<!-- deck {new} -->"),
        (rf"(?m)^(  section: \"){old}(?=\.)", rf"\g<1>{new}"),  # of the question bank
    ]


ONLY = {  # patterns for one file
    "book/parts.yml": (r"(?m)^(\s+){old}: ", r"\g<1>{new}: "),
    "book/notation.md": (r"(?m)\| {old} \|$", "| {new} |"),
}


def left(path: Path, text: str, old: int) -> Iterator[str]:
    """Lines that may mean the old number and were not changed; of a notebook those of its cells."""
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    counted = path.suffix == ".yml" or "book" in path.parts
    for number, line in enumerate(text.splitlines(), 1):
        several = re.search(rf"[Cc]hapters?\b.{{0,60}}\b{old}\b(?!\.?\d)", line)
        if several or (counted and re.search(rf"(?<![\d.=-]){old}\b(?!%|\.?\d)", line)):
            yield f"{path}:{number}: {line.strip()[:120]}"


def found(exercise: str, step: str, entry: dict, words: set[str]) -> dict[str, int | str]:
    """The answers behind the hashes of a step, by trying; hashes that no answer gives are left out."""
    wanted, known = {entry["hash"], *(each["hash"] for each in entry["distractors"])}, {}
    numbers = chain([0], (sign * n for n in range(1, MOST) for sign in (1, -1)))
    for value in numbers if entry["digits"] is not None else words:
        if (key := fingerprint(exercise, step, value)) in wanted:
            known[key] = value
            if len(known) == len(wanted):
                break
    return known


def store_again(root: Path, old: str, new: str, texts: list[str]) -> Iterator[str]:
    """Give each exercise its new id and each answer the hash that belongs to it; a line for each that was not found."""
    table = json.loads((root / ANSWERS).read_text(encoding="utf-8"))
    text = " ".join(texts).replace("\\n", " ").lower()
    quoted = re.findall(r"[\"'`](?=([^\"'`\\]{1,60})\\?[\"'`])", text)  # each quote may begin one
    words = {" ".join(each.split()) for each in [*quoted, *re.findall(r"[\w.+-]+", text)]}
    for exercise in [each for each in table if each.startswith(old)]:
        name, steps = new + exercise.removeprefix(old), table.pop(exercise)
        for step, entry in steps.items():
            known = found(exercise, step, entry, words)
            for each in [entry, *entry["distractors"]]:
                if each["hash"] in known:
                    each["hash"] = fingerprint(name, step, known[each["hash"]])
                else:
                    yield f"{ANSWERS}: {name}, {step}: store {each.get('says', 'the answer')!r} again"
        table[name] = steps
    ordered = json.dumps(dict(sorted(table.items())), indent=1, ensure_ascii=False)
    (root / ANSWERS).write_text(ordered + "\n", encoding="utf-8")


def fresh(root: Path, old: str, new: str) -> set[str]:
    """The tables, by their new names, whose record holds: their script is still what made them."""
    records = json.loads((root / RECORDS).read_text(encoding="utf-8"))
    held = [table for table, entry in records.items() if _tables.fingerprint(_script(root, entry)) == entry["code"]]
    return {moved(Path(table), old, new).name for table in held}


def record_again(root: Path, held: set[str]) -> None:
    """Note the scripts as they are now, where the record held before."""
    records = json.loads((root / RECORDS).read_text(encoding="utf-8"))
    for table in held:
        records[table]["code"] = _tables.fingerprint(_script(root, records[table]))
    (root / RECORDS).write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n", encoding="utf-8")


def _script(root: Path, entry: dict) -> Path:
    return next(root.glob(f"[eb][xe][pn]*/{entry['script']}.py"))  # of experiments or benchmarks


def renumber(root: Path, old: int, new: int) -> list[str]:
    """Do all of it below a root; the lines that are left to be judged."""
    two, other, paths = f"{old:02}", f"{new:02}", files(root)
    stems = sorted({p.stem.removeprefix(f"{two}_") for p in paths if p.match(f"{two}_*.ipynb")}, key=len, reverse=True)
    if not stems or any(path.match(f"{other}_*.ipynb") for path in paths):
        raise SystemExit(f"a chapter {old} has to be there, and none {new}; make room from the last one down")
    exercises = [each for each in json.loads((root / ANSWERS).read_text(encoding="utf-8")) if each.startswith(two)]
    held = fresh(root, two, other)
    own = [(root / p).read_text(encoding="utf-8") for p in paths if p.match(f"{two}_*.ipynb")]
    own += [(root / p).read_text(encoding="utf-8") for p in paths if p.match("book/recap_*.md")]
    report = [*store_again(root, two, other, own)]
    patterns = [(re.compile(pattern), put) for pattern, put in rules(old, new, stems, exercises)]
    for path in paths:
        try:
            before = text = (root / path).read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if path.as_posix() not in SPARED:
            for pattern, put in patterns:
                text = pattern.sub(put, text)
            if path.as_posix() in ONLY:
                pattern, put = (each.format(old=old, new=new) for each in ONLY[path.as_posix()])
                text = re.sub(pattern, put, text)
        if text != before:
            (root / path).write_bytes(text.encode("utf-8"))
            if path.suffix == ".ipynb":  # the ids of cells follow from their source
                (root / path).write_text(execute.dumps(execute.read(root / path)), encoding="utf-8")
        if path.suffix in (".md", ".yml", ".py", ".ipynb", ".bib", ".toml"):
            report += left(moved(path, two, other), text, old)
        if moved(path, two, other) != path:
            subprocess.run(["git", "mv", path, moved(path, two, other)], cwd=root, check=True)
    record_again(root, held)
    return report


if __name__ == "__main__":
    if len(sys.argv) != 3 or not all(each.isdigit() for each in sys.argv[1:]):
        raise SystemExit(__doc__)
    print(*renumber(ROOT, *map(int, sys.argv[1:])), sep="\n")
