"""The locks are whole, hashed, and name no host."""

from __future__ import annotations

import shutil
import tomllib

import pytest
from packaging.requirements import Requirement

HASH = "--hash=sha256:" + "0" * 64
GOOD = f"numpy==2.4.6 ; python_full_version < '3.12' \\\n    {HASH} \\\n    {HASH}\nrich==15.0.0 \\\n    {HASH}\n"


@pytest.fixture
def check_locks(script):
    """The checker that ``make lint`` runs."""
    return script("check_locks")


def test_the_locks_of_this_project_are_right(check_locks, capsys):
    """Nothing is wrong with what is committed."""
    assert check_locks.main() == 0, capsys.readouterr().out


def test_a_right_lock_has_no_problems(check_locks):
    """Names, versions, markers and hashes are all that a lock holds."""
    assert [] == list(check_locks.problems_of(GOOD))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://mirror.example/simple",
        "--extra-index-url http://mirror.example",
        "--find-links wheels",
        "-e .",
        "-r other.txt",
        "./wheels/rich.whl",
        "/srv/wheels/rich-15.0.0.whl",
        "file:rich.whl",
        f"rich @ https://mirror.example/rich.whl {HASH}",
        f"rich @ git+ssh://host/rich {HASH}",
        "# from https://mirror.example",
        "rich==15.0.0",
        f"rich>=15 {HASH}",
        f"rich {HASH}",
        "rich==15.0.0 --hash=md5:00",
    ],
)
def test_an_address_or_a_missing_hash_is_found(check_locks, line):
    """Addresses, options, paths, and requirements without version or hash are refused."""
    assert [] != list(check_locks.problems_of(f"{GOOD}{line}\n"))


@pytest.mark.parametrize(
    ("requirement", "met"),
    [("rich>=14", True), ("Rich", True), ("numpy[x]>=2.0", True), ("rich>=16", False), ("polars", False)],
)
def test_a_requirement_that_the_lock_misses_is_found(check_locks, requirement, met):
    """Each requirement of the project has a version in the lock that satisfies it."""
    assert met == (not list(check_locks.unmet_by(GOOD, [requirement])))


@pytest.mark.parametrize("group", ["dependencies = [", "bench = ["])
def test_a_dependency_added_without_locking_is_found(check_locks, project, tmp_path, capsys, group):
    """A new dependency in pyproject.toml, be it of the benchmarks alone, fails the check until ``make lock``."""
    shutil.copytree(project / "requirements", tmp_path / "requirements")
    text = (project / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace(f"\n{group}", f'\n{group}\n  "left-pad>=1",', 1))

    assert check_locks.main(tmp_path) == 1
    assert "'left-pad>=1' is not met" in capsys.readouterr().out


def test_what_runs_is_what_is_tested(check_locks):
    """A version of the runtime lock that the development lock does not have is found."""
    assert [] == list(check_locks.differences(GOOD, GOOD + f"ruff==0.1 {HASH}\n"))
    assert ["rich==15.0.0 is another one in requirements/dev.txt"] == list(
        check_locks.differences(GOOD, GOOD.replace("15.0.0", "15.0.1"))
    )


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("aiohttp", "3.12.13"),
        ("aiohttp", "3.14.1"),
        ("aiohttp", "3.14.3"),
        ("apsw", "3.51.2.0"),
        ("apsw", "3.53.3.0"),
        ("mcp", "2.1.1"),
        ("uvicorn", "0.51.0"),
        ("uvloop", "0.22.1"),
    ],
)
def test_versions_known_to_lose_data_or_to_leak_are_not_allowed(project, name, version):
    """Those of docs/decisions/0028; an environment that has one already gets a newer one."""
    stated = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    asked = [*stated["dependencies"], *stated["optional-dependencies"]["server"]]
    (requirement,) = [each for each in map(Requirement, asked) if each.name == name]

    assert version not in requirement.specifier
