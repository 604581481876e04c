"""What the service says of itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import logging
from chandlery.service.logs import configure
configure({form!r})
logging.getLogger("chandlery.x").warning("about %s", "it")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("chandlery.x").exception("failed")
logging.getLogger("uvicorn.error").info("noise")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_forms(form):
    """On stderr, a line each; as JSON with the traceback in it."""
    done = subprocess.run([sys.executable, "-c", CODE.format(form=form)], capture_output=True, text=True, check=True)

    assert not done.stdout
    assert "noise" not in done.stderr
    assert "ZeroDivisionError" in done.stderr
    if form == "json":
        first, second = map(json.loads, done.stderr.splitlines())
        assert ("about it", "warning", "chandlery.x") == (first["event"], first["level"], first["logger"])
        assert "Traceback" in second["exception"]
