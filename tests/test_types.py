"""Type checkers that users run accept the examples, and know every public name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import chandlery
import chandlery.service

TIMEOUT_S = 100
SCRIPTS = Path(sys.executable).parent
NAMES = [f"{package.__name__}.{name}" for package in (chandlery, chandlery.service) for name in package.__all__]


def mypy(tmp_path, *files):
    """What mypy says of files, strictly and with no configuration of this project: exit code and lines."""
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    ended = subprocess.run(
        [SCRIPTS / "mypy", *options, *files],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return ended.returncode, ended.stdout.splitlines()


def pyright(tmp_path, *files):
    """What pyright says of files by its standard rules: exit code and lines."""
    settings = {"typeCheckingMode": "standard", "include": [str(each) for each in files]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    ended = subprocess.run(
        [SCRIPTS / "basedpyright", "--project", tmp_path, "--pythonpath", sys.executable],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return ended.returncode, ended.stdout.splitlines()


# ``make types`` runs the first, ``make soak`` both: each checks all of chandlery from the start.
@pytest.mark.soak
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_programs_of_users_are_accepted(checker, tmp_path, project):
    """The examples have no error, each public name has a type, and a misspelled one is an error."""
    named = tmp_path / "named.py"
    named.write_text("\n".join(["import chandlery.service", *(f"reveal_type({name})" for name in NAMES)]))
    misspelled = tmp_path / "misspelled.py"
    misspelled.write_text("from chandlery import CandleFeed\n")

    code, lines = checker(tmp_path, named, *sorted((project / "examples").glob("*.py")))
    assert 0 == code, lines
    revealed = [line for line in lines if "Revealed type is" in line or "Type of" in line]
    assert len(NAMES) == len(revealed)
    assert [] == [line for line in revealed if line.endswith(('"Any"', '"Unknown"'))]

    code, lines = checker(tmp_path, misspelled)
    assert 1 == code
    assert any("CandleFeed" in line for line in lines)
