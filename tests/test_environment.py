"""The install paths agree with pyproject.toml, which is the one list."""

import re
import tomllib

import pytest

from tools import environment

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
