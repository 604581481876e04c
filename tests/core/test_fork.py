"""Forked children: they work, or they say at once why not; they never hang."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from chandlery.core import fork
from chandlery.core.errors import ForkedProcess

HEAD = """
    import asyncio, multiprocessing, os, sys, tempfile, warnings
    from datetime import datetime, timedelta, timezone
    from chandlery import DataSourceManager
    from chandlery.core.errors import ForkedProcess
    from chandlery.sim.server import running
    START = datetime(2024, 1, 1, tzinfo=timezone.utc)

    def get(manager, days=2, **options):
        return len(manager.get_data("BTCUSDT", START, START + timedelta(days=days), "1h", **options))

    def made(endpoints, **options):
        return DataSourceManager(endpoints=endpoints, **{"use_cache": False, **options})

    def child(act):
        # What happens in a forked child: its result, or its error.
        ours, theirs = os.pipe()
        if not os.fork():
            try:
                said = str(act())
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            os.write(theirs, said.encode())
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as told:
            print(told.read())
"""


def _told(body):
    """What a process prints; one that hangs is an error."""
    code = textwrap.dedent(HEAD) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def test_a_child_of_one_that_has_read_an_archive():
    """A read of an archive says to spawn; REST, the cache and an unused manager of the parent work; the parent goes on."""
    told = _told("""
        with running() as sim, tempfile.TemporaryDirectory() as folder:
            unused = made(sim.endpoints)
            with made(sim.endpoints, use_cache=True, cache_dir=folder) as manager:
                print(get(manager))
                child(lambda: get(manager))
                child(lambda: get(manager, 3))
                child(lambda: get(made(sim.endpoints)))
                child(lambda: get(made(sim.endpoints, cache_dir=folder, use_cache=True)))
                child(lambda: get(made(sim.endpoints), enforce_source="rest"))
                child(lambda: get(unused, enforce_source="rest"))
                print(get(manager, 3))
    """)

    assert ["48", "48", "48", "48", "72"] == [told[at] for at in (0, 4, 5, 6, 7)]
    assert all(line.startswith("ForkedProcess: ") and "spawn" in line for line in told[1:4])


def test_a_child_of_one_that_has_used_polars_itself():
    """A pool that forks is refused too, at once, and one that spawns is not needed where polars has only been loaded."""
    told = _told("""
        import polars
        with running() as sim:
            child(lambda: get(made(sim.endpoints)))
            polars.DataFrame({"a": [1]}).lazy().select(polars.col("a").sum()).collect()
            child(lambda: get(made(sim.endpoints)))
    """)

    # The offline exchange in the parent may have used polars for its first answer, but not before it was asked.
    assert "48" == told[0]
    assert told[1].startswith("ForkedProcess: ")


def test_a_pool_that_forks_gets_the_error():
    """It crosses back to the parent whole."""
    told = _told("""
        import polars
        def work(endpoints):
            return get(made(endpoints))
        with running() as sim:
            with made(sim.endpoints) as manager:
                get(manager)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                try:
                    pool.map_async(work, [sim.endpoints] * 2).get(30)
                except ForkedProcess as error:
                    print("spawn" in str(error))
    """)

    assert ["True"] == told


def test_this_process_owns_what_it_makes():
    """What was made elsewhere is refused by name."""
    fork.require_own(fork.generation(), "it")
    with pytest.raises(ForkedProcess, match=r"it was in use before this process was forked.*spawn"):
        fork.require_own(fork.generation() - 1, "it")
