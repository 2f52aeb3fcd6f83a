"""The install paths agree with pyproject.toml, which is the one list."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest

from tools.notebooks import colab
from tools.project import environment

PROJECT = tomllib.loads((environment.ROOT / "pyproject.toml").read_text())["project"]


def locked(name):
    """The version of a package in requirements.lock; pip reads -, _ and . alike."""
    pattern = re.sub(r"[-_.]+", "[-_.]+", name)
    found = re.search(rf"^{pattern}==(\S+)$", environment.LOCK.read_text(), re.MULTILINE | re.IGNORECASE)
    assert found, f"requirements.lock has no line for {name}"
    return found[1]


def test_conda_door_is_derived_from_pyproject():
    assert environment.CONDA.read_text() == environment.conda_text()


def test_conda_text_follows_a_new_dependency(monkeypatch, tmp_path):
    text = (environment.ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace('"tqdm>=4.66",', '"tqdm>=4.66",\n  "newcomer>=1",'))
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert "  - newcomer>=1" in environment.conda_text()


def lowest(name):
    """The lower bound of a package in pyproject.toml."""
    return next(line.split(">=")[1] for line in PROJECT["dependencies"] if line.startswith(f"{name}>="))


@pytest.mark.parametrize("extra", [None, "book", "scale", "test"])
def test_every_requirement_is_locked_within_its_bounds(extra):
    packaging = pytest.importorskip("packaging.requirements")
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    for line in listed:
        requirement = packaging.Requirement(line)
        version = locked(requirement.name)
        assert requirement.specifier.contains(version), line


def test_the_oldest_environment_takes_every_lower_bound():
    floors = environment.floors()
    assert f"torch=={lowest('torch')}" in floors
    assert "jupyter-book==1.0.4" in floors  # the upper bound is left out
    wanted = {
        *PROJECT["dependencies"],
        *(line for part in PROJECT["optional-dependencies"].values() for line in part),
    }
    names = {re.split(r"[<>=]", line)[0] for line in wanted}
    assert {line.split("==")[0] for line in floors} == names


def test_a_dependency_without_a_lower_bound_is_named(monkeypatch, tmp_path):
    text = (environment.ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace('"tqdm>=4.66",', '"tqdm",'))
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="tqdm has no lower bound"):
        environment.floors()


def test_no_upper_pins_on_what_colab_ships():
    for line in PROJECT["dependencies"]:
        assert not re.search(r"<|==|~=", line), line


def test_jupyter_book_stays_on_version_one():
    assert "jupyter-book>=1.0.4,<2" in PROJECT["optional-dependencies"]["book"]
    assert locked("jupyter-book").startswith("1.")


def test_the_lock_has_colabs_versions():
    for name, version in colab.listed().items():
        assert locked(name) == version, name
    assert colab.listed().keys() >= {"numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "ipykernel"}


def test_another_version_in_the_list_is_fetched_and_the_rest_is_linked():
    here = {"numpy": metadata.version("numpy"), "pandas": metadata.version("pandas")}
    assert colab.split(here) == (["numpy", "pandas"], [])
    assert colab.split(here | {"pandas": "1.0"}) == (["numpy"], ["pandas==1.0"])


def test_refresh_takes_versions_into_list_and_lock(tmp_path, monkeypatch):
    for name in ("VERSIONS", "LOCK"):
        copy = tmp_path / name
        copy.write_text(getattr(colab, name).read_text())
        monkeypatch.setattr(colab, name, copy)
    before = colab.LOCK.read_text()
    published = tmp_path / "pip-freeze.txt"
    published.write_text(
        "# made by a script\nnumpy==9.9.9\npandas==8.8\nmatplotlib==3.10.0\nipykernel==6.17.1\n"
        "torch==2.99.0+cu130\nscikit_learn==7.7\nastropy==1.0\ngoogle-colab @ file:///colab.tar.gz\n"
    )
    colab.refresh(published, "2027-01-02")
    text = colab.VERSIONS.read_text()
    assert "2027-01-02" in text
    assert "torch==2.99.0\n" in text
    assert "astropy" not in text
    new = {
        "numpy": "9.9.9",
        "pandas": "8.8",
        "matplotlib": "3.10.0",
        "ipykernel": "6.17.1",
        "scikit-learn": "7.7",
    }
    assert colab.listed() == new
    changed = set(colab.LOCK.read_text().splitlines()) - set(before.splitlines())
    assert changed == {"numpy==9.9.9", "pandas==8.8", "scikit-learn==7.7"}


def test_refresh_refuses_what_is_no_list_and_a_day_that_is_none(tmp_path):
    (tmp_path / "list").write_text("numpy==2.0\n")
    with pytest.raises(SystemExit, match="no list of Colab's packages"):
        colab.refresh(tmp_path / "list", "2027-01-02")
    with pytest.raises(SystemExit, match="2026-08-19"):
        colab.refresh(tmp_path / "list", "yesterday")


def python_that_says(place, version):
    """A stand-in for a Python: it answers every question with its version, or fails as a shim does."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    place.chmod(0o755)
    return place


def test_a_python_is_found_on_the_path_and_else_with_pyenv(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert environment.interpreter("3.99") is None
    kept = python_that_says(tmp_path / "versions" / "3.99.1" / "bin" / "python", "3.99")
    python_that_says(tmp_path / "bin" / "python3.99", None)  # a shim that leads nowhere
    assert environment.interpreter("3.99") == kept
    first = python_that_says(tmp_path / "bin" / "python3.99", "3.99")
    assert environment.interpreter("3.99") == first


def test_this_python_is_taken_before_others():
    assert str(environment.interpreter("{}.{}".format(*sys.version_info))) == sys.executable


def test_the_classifiers_begin_with_the_lowest_python():
    assert environment.promised()[0] == environment.LOWEST
    assert PROJECT["requires-python"] == f">={environment.LOWEST}"
    workflow = (environment.ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert "[" + ", ".join(f'"{version}"' for version in environment.promised()) + "]" in workflow


def test_what_is_not_on_the_machine_is_skipped_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(environment, "interpreter", lambda version: None)
    assert environment.pythons() == 0
    assert environment.try_oldest() == 0
    said = capsys.readouterr().out.splitlines()
    skipped = [*environment.promised()[1:], environment.LOWEST]
    assert said == [f"skipped: {environment.missing(version)}" for version in skipped]


def test_each_other_python_is_asked_and_failures_are_counted(monkeypatch, tmp_path):
    calls = []

    def run(command, **options):
        calls.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, int("py313" in calls[-1][0]))

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "interpreter", lambda version: f"python{version}")
    monkeypatch.setattr(environment, "promised", lambda: ["3.11", "3.12", "3.13"])
    monkeypatch.setattr(environment, "light", lambda: ["numpy"])
    monkeypatch.setattr(environment, "pip", lambda *arguments, venv: calls.append([venv.name, *arguments]))
    monkeypatch.setattr(environment.subprocess, "run", run)
    assert environment.pythons() == 1
    assert [call[0] for call in calls if "venv" in call] == ["python3.12", "python3.13"]
    assert [call[0] for call in calls if "install" in call] == [".venv-py312", ".venv-py313"]
    assert sum("tools.project.without_torch" in call for call in calls) == 2


def test_the_light_list_has_no_torch():
    names = environment.light()
    assert {"numpy", "pandas", "pytest"} <= set(names)
    assert not [name for name in names if name.startswith("torch")]


def test_the_chapters_for_the_oldest_versions_exist():
    for number in environment.CHAPTERS:
        assert len(list((environment.ROOT / "notebooks").glob(f"{number}_*.ipynb"))) == 1


def test_a_ready_oldest_environment_is_made_anew_when_a_bound_changes(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(environment, "OLDEST", tmp_path)
    monkeypatch.setattr(environment, "pip", lambda *arguments, venv: asked.append(arguments[-1]))
    monkeypatch.setattr(environment, "interpreter", lambda version: sys.executable)
    python_that_says(tmp_path / "bin" / "python", "3.11")
    environment.oldest()
    assert asked == ["torch", ".[scale,test]"]
    environment.oldest()
    assert len(asked) == 2
    monkeypatch.setattr(environment, "floors", lambda: ["torch==9.9"])
    environment.oldest()
    assert len(asked) == 4
    assert (tmp_path / "floors.txt").read_text() == "torch==9.9\n"
