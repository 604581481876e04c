"""``make hooks`` has git lint before each commit."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

NOBODY = {f"GIT_{role}_{name}": "x@y.example" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")}


@pytest.fixture
def run(tmp_path, project):
    """Runs a command in a repository with the hooks of this one and a linter of its own, which ``wrong`` displeases."""
    shutil.copytree(project / ".githooks", tmp_path / ".githooks")
    (tmp_path / "Makefile").write_text("lint:\n\t@echo linted; test ! -e wrong\n")

    def call(*command):
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | NOBODY
        return subprocess.run(command, check=False, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    assert 0 == call("git", "init", "--quiet").returncode
    return call


def test_a_commit_is_linted(run, tmp_path, project):
    """A commit happens where ``make lint`` succeeds, and only there."""
    assert 0 == run("make", "-f", project / "Makefile", "hooks").returncode
    assert 0 == run("git", "commit", "--quiet", "--allow-empty", "-m", "right").returncode

    (tmp_path / "wrong").touch()
    refused = run("git", "commit", "--allow-empty", "-m", "wrong")
    assert 0 != refused.returncode
    assert "linted" in refused.stdout + refused.stderr
    assert "right\n" == run("git", "log", "--format=%s").stdout
