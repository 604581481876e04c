"""Packages of third parties inherit the published tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys


def test_clients_of_third_parties_pass_the_published_tests(project):
    """A client of an exchange and two sources of past data, each with its tests in its own package."""
    tests = [
        project / "tests/clients/acme_plugin/acme_tests.py",
        project / "tests/history/third_party/acme/acme_data_tests.py",
    ]
    path = os.pathsep.join(str(each.parent) for each in tests)
    run = subprocess.run(
        # As where there is no configuration: asynchronous tests are marked.
        [sys.executable, "-m", "pytest", "-c", os.devnull, "-rs", "-v", "-p", "no:cacheprovider", *map(str, tests)],
        cwd=project, env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert 0 == run.returncode, run.stdout[-3000:] + run.stderr[-1000:]
    passed = re.findall(r"::(Test\w+)::test_\w+ PASSED", run.stdout)
    assert {"TestAcmeClient": 9, "TestAcmeCandles": 6, "TestAcmeOpenInterest": 6} == {
        each: passed.count(each) for each in passed
    }
    assert "1 skipped" in run.stdout
    assert "it has no streams of book" in run.stdout
