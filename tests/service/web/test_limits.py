"""How much the server takes."""

from __future__ import annotations

import asyncio
import sys

import pytest

from chandlery.service.web.limits import most_connections

RAISED = """
import resource
from chandlery.service.web.limits import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(descriptors(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("descriptors", "most"), [(256, 128), (1_024, 512), (20_000, 18_976)])
def test_connections_leave_descriptors_to_others(descriptors, most):
    """The database and exchanges need some, of few as of many."""
    assert most == most_connections(descriptors)


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 1_000, "1000 1000 1000"), (256, 256, "256 256 256")])
async def test_the_process_takes_what_it_may(soft, hard, expected):
    """The limit of descriptors is raised as far as the process may raise it itself."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RAISED.format(soft=soft, hard=hard), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        out, _ = await child.communicate()

    assert expected == out.decode().strip()
