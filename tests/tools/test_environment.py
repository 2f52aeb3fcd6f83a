"""The install paths agree with pyproject.toml, which is the one list."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.notebooks import colab
from tools.project import environment

TEXT = (environment.ROOT / "pyproject.toml").read_text()
WORKFLOW = (environment.ROOT / ".github" / "workflows" / "test.yml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
PARTS = {"package": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


def locked(name):
    """The version of a package in requirements.lock."""
    pinned = map(Requirement, re.findall(r"(?m)^[\w.-]+==\S+", environment.LOCK.read_text()))
    return {canonicalize_name(each.name): str(each.specifier)[2:] for each in pinned}[canonicalize_name(name)]


@pytest.fixture
def project_with(monkeypatch, tmp_path):
    """A call that puts a line of pyproject.toml in place of that of tqdm."""

    def change(line):
        (tmp_path / "pyproject.toml").write_text(TEXT.replace('"tqdm>=4.66",', line))
        monkeypatch.setattr(environment, "ROOT", tmp_path)

    return change


def test_conda_door_is_derived_from_pyproject(project_with):
    assert environment.CONDA.read_text() == environment.conda_text()
    project_with('"tqdm>=4.66",\n  "newcomer>=1",')
    assert "  - newcomer>=1" in environment.conda_text()


@pytest.mark.parametrize("part", PARTS)
def test_every_requirement_is_locked_within_its_bounds(part):
    for requirement in map(Requirement, PARTS[part]):
        assert requirement.specifier.contains(locked(requirement.name)), requirement


def test_the_lock_has_hashes_of_what_our_pythons_could_install():
    rows = re.findall(r"(?m)^[^#].*", environment.LOCK.read_text())
    bare = [row for row in rows if not re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", row)]
    assert bare == [f"torch=={locked('torch')}"]
    kinds = "cp311-cp311-manylinux_2_28_x86_64 cp39-abi3-macosx_11_0_arm64 py3-none-any cp310-cp310-linux_x86_64 "
    kinds += "cp313-cp313t-macosx_11_0_arm64 cp312-cp312-win_amd64 cp312-cp312-musllinux_1_2_x86_64"
    taken = [environment.wanted(f"a-1.0-{kind}.whl", "1.0") for kind in kinds.split()]
    assert taken == [True, True, True, False, False, False, False]
    others = ("a-1.0.tar.gz", "a-1.0.exe", "a-1.0.1.tar.gz", "a-1.0.post1-py3-none-any.whl")
    assert [environment.wanted(file, "1.0") for file in others] == [True, False, False, False]


def test_the_oldest_environment_takes_every_lower_bound(project_with):
    lines = [line for part in PARTS.values() for line in part]
    floors = [line.partition(",")[0].replace(">=", "==") for line in lines]  # an upper bound is left out
    assert sorted(environment.floors()) == sorted(set(floors))
    project_with('"tqdm",')
    with pytest.raises(SystemExit, match="tqdm has no lower bound"):
        environment.floors()


def test_the_lock_has_colabs_versions_which_nothing_pins_from_above():
    assert [line for line in PROJECT["dependencies"] if re.search(r"<|==|~=", line)] == []
    assert "jupyter-book>=1.0.4,<2" in PARTS["book"]  # the lock is held to it above
    listed = colab.listed()
    assert listed == {name: locked(name) for name in listed}
    assert listed.keys() >= {"numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "ipykernel"}


def test_another_version_in_the_list_is_fetched_and_the_rest_is_linked():
    here = {"numpy": metadata.version("numpy"), "pandas": metadata.version("pandas")}
    assert colab.split(here) == (["numpy", "pandas"], [])
    assert colab.split(here | {"pandas": "1.0"}) == (["numpy"], ["pandas==1.0"])


PUBLISHED = """# made by a script
numpy==9.9.9\npandas==8.8\nmatplotlib==3.10.0\nipykernel==6.17.1\nscikit_learn==7.7
torch==2.99.0+cu130\nastropy==1.0\ngoogle-colab @ file:///colab.tar.gz
"""
TAKEN = {"numpy": "9.9.9", "pandas": "8.8", "scikit-learn": "7.7", "matplotlib": "3.10.0", "ipykernel": "6.17.1"}


def test_refresh_takes_versions_into_list_and_lock(tmp_path, monkeypatch):
    for name in ("VERSIONS", "LOCK"):
        copy = tmp_path / name
        copy.write_text(getattr(colab, name).read_text())
        monkeypatch.setattr(colab, name, copy)
    before = colab.LOCK.read_text()
    (tmp_path / "pip-freeze.txt").write_text(PUBLISHED)
    colab.refresh(tmp_path / "pip-freeze.txt", "2027-01-02")
    text = colab.VERSIONS.read_text()
    assert [word in text for word in ("2027-01-02", "torch==2.99.0\n", "astropy")] == [True, True, False]
    assert colab.listed() == TAKEN
    changed = set(colab.LOCK.read_text().splitlines()) - set(before.splitlines())
    assert changed == {"numpy==9.9.9", "pandas==8.8", "scikit-learn==7.7"}


@pytest.mark.parametrize(("day", "said"), [("2027-01-02", "no list of Colab's"), ("yesterday", "2026-08-19")])
def test_refresh_refuses_what_is_no_list_and_a_day_that_is_none(tmp_path, day, said):
    (tmp_path / "list").write_text("numpy==2.0\n")
    with pytest.raises(SystemExit, match=said):
        colab.refresh(tmp_path / "list", day)


def python_that_says(place, version):
    """A stand-in for a Python: it answers every question with its version, or fails as a shim does."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    place.chmod(0o755)
    return place


def test_this_python_is_taken_before_those_on_the_path_and_of_pyenv(tmp_path, monkeypatch):
    assert str(environment.interpreter("{}.{}".format(*sys.version_info))) == sys.executable
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert environment.interpreter("3.99") is None
    kept = python_that_says(tmp_path / "versions" / "3.99.1" / "bin" / "python", "3.99")
    python_that_says(tmp_path / "bin" / "python3.99", None)  # a shim that leads nowhere
    assert environment.interpreter("3.99") == kept
    first = python_that_says(tmp_path / "bin" / "python3.99", "3.99")
    assert environment.interpreter("3.99") == first


def test_the_classifiers_begin_with_the_lowest_python():
    assert environment.promised()[0] == environment.LOWEST
    assert PROJECT["requires-python"] == f">={environment.LOWEST}"
    assert "[" + ", ".join(f'"{version}"' for version in environment.promised()) + "]" in WORKFLOW


def test_actions_of_others_are_pinned_by_hash_and_get_no_credentials():
    used = re.findall(r"uses: (\S+)", WORKFLOW)
    assert used == re.findall(r"uses: ([\w/-]+@[0-9a-f]{40})\b", WORKFLOW) != []
    assert WORKFLOW.count("persist-credentials: false") == sum("actions/checkout" in action for action in used)


def test_what_is_not_on_the_machine_is_skipped_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(environment, "interpreter", lambda version: None)
    assert environment.pythons() == environment.try_oldest() == 0
    said = [f"skipped: {environment.missing(version)}" for version in (*environment.promised()[1:], environment.LOWEST)]
    assert capsys.readouterr().out.splitlines() == said


def test_each_other_python_is_asked_and_failures_are_counted(monkeypatch, tmp_path):
    calls = []

    def run(command, **options):
        calls.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, int("py313" in calls[-1][0]))

    doubles = {"ROOT": tmp_path, "promised": lambda: ["3.11", "3.12", "3.13"], "light": lambda: ["numpy"]}
    doubles["without_hashes"] = lambda: tmp_path / "constraints.txt"
    doubles |= {"interpreter": lambda version: f"python{version}", "subprocess": SimpleNamespace(run=run)}
    doubles["pip"] = lambda *arguments, venv: calls.append([venv.name, *arguments])
    for name, double in doubles.items():
        monkeypatch.setattr(environment, name, double)
    assert environment.pythons() == 1
    assert [call[0] for call in calls if "venv" in call] == ["python3.12", "python3.13"]
    assert [call[0] for call in calls if "install" in call] == [".venv-py312", ".venv-py313"]
    assert sum("tools.project.without_torch" in call for call in calls) == 2


def test_the_light_list_has_no_torch_and_the_chapters_for_the_oldest_versions_exist():
    names = environment.light()
    assert {"numpy", "pandas", "pytest"} <= set(names)
    assert not [name for name in names if name.startswith("torch")]
    folder = environment.ROOT / "notebooks"
    assert {len(list(folder.glob(f"{number}_*.ipynb"))) for number in environment.CHAPTERS} == {1}


def test_a_ready_oldest_environment_is_made_anew_when_a_bound_changes(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(environment, "OLDEST", tmp_path)
    monkeypatch.setattr(environment, "pip", lambda *arguments, venv: asked.append(arguments[-1]))
    monkeypatch.setattr(environment, "interpreter", lambda version: sys.executable)
    python_that_says(tmp_path / "bin" / "python", "3.11")
    for _ in range(2):
        environment.oldest()
        assert asked == ["torch", ".[scale,serve,test]"]
    monkeypatch.setattr(environment, "floors", lambda: ["torch==9.9"])
    environment.oldest()
    assert len(asked) == 4
    assert (tmp_path / "floors.txt").read_text() == "torch==9.9\n"
