"""The template of an exchange: a package of a third party, and a module of this repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture
def template(project):
    """The folder to copy."""
    return project / "docs" / "template"


def output_of(folder, *arguments, path):
    """The output of pytest in a folder, with ``path`` before what is installed."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert 0 == run.returncode, run.stdout[-3000:] + run.stderr[-1000:]
    return run.stdout


def test_a_third_party_inherits_the_published_tests(template, tmp_path):
    """Installed with its entry point, it is found; each published test runs in its own test module."""
    for path in template.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(template / "payloads", tmp_path / "payloads")
    project = tomllib.loads((template / "pyproject.toml").read_text())["project"]
    info = tmp_path / "acme_chandlery-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {module}" for name, module in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))

    out = output_of(tmp_path, "-v", "test_acme.py", path=tmp_path)

    skipped = re.findall(r"SKIPPED .*: (.*)", out)
    assert {"it has no funding rates", "every message is a whole book"} == set(skipped)
    assert 21 == len(re.findall(r"test_acme\.py::TestAcmeSpot::test_\w+ PASSED", out))


@pytest.mark.parametrize("with_wire", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_an_exchange_is_a_module_and_a_folder(project, template, tmp_path, with_wire):
    """In a copy of this repository nothing else is added; without a wire what needs one is skipped, with that reason."""
    ignored = shutil.ignore_patterns("__pycache__", "synthetic")
    for name in ("src", "tests"):
        shutil.copytree(project / name, tmp_path / name, ignore=ignored)
    shutil.copy(project / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "chandlery"
    shutil.copy(template / "acme.py", package / "exchanges")
    shutil.copytree(template / "payloads", tmp_path / "tests" / "exchanges" / "synthetic" / "acme_spot")
    if with_wire:
        shutil.copy(template / "acme_wire.py", package / "sim" / "wires" / "acme.py")

    files = ["testing/test_exchanges.py", "exchanges/test_unknown_instruments.py"]
    arguments = [
        "-k",
        "acme_spot",
        *(f"tests/{each}" for each in [*files, "exchanges/test_growth.py", "test_layout.py"]),
    ]
    out = output_of(tmp_path, *arguments, path=tmp_path / "src")

    passed = int(re.search(r"(\d+) passed", out)[1])
    if with_wire:
        assert "the offline exchange has no wire of it" not in out
        assert int(re.search(r"(\d+) skipped", out)[1]) == 2  # no funding rates, and every message is a whole book
        assert passed >= 30
    else:
        assert int(re.search(r"(\d+) skipped", out)[1]) >= 15
        assert "the offline exchange has no wire of it" in out
        assert passed >= 7
