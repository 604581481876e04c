"""The embedded database: what was acknowledged is there, whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading

import apsw
import pytest

from chandlery.core.errors import (
    Closed,
    CorruptStorage,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from chandlery.database.sqlite import SqliteDatabase
from fixtures.full_disk import with_room, without_room

INSERT = "INSERT INTO coins VALUES ('', ?, 'BTC', '[]', ?)"


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3", busy_ms=50) as opened:
        yield opened


async def names(database):
    """What ``INSERT`` has written."""
    return [row[0] for row in await database.read("SELECT exchange FROM coins ORDER BY since")]


async def test_what_is_written_is_read(database):
    """At once after the acknowledgement, by this and by another connection."""
    await database.write((INSERT, [("a", 1), ("b", 2)]))
    other = apsw.Connection(str(database.path), flags=apsw.SQLITE_OPEN_READONLY)

    assert ["a", "b"] == await names(database)
    assert [("a",), ("b",)] == other.execute("SELECT exchange FROM coins").fetchall()
    other.close()


async def test_a_write_is_all_or_nothing(database):
    """A statement that cannot be carried out undoes those before it."""
    with pytest.raises(StorageError, match="UNIQUE"):
        await database.write((INSERT, [("a", 1)]), (INSERT, [("a", 2)]))

    assert [] == await names(database)


async def test_a_faulty_write_takes_no_other_with_it(database):
    """Also where they were to be committed together."""
    writes = [database.write((INSERT, [(name, at)])) for at, name in enumerate("abacad")]
    results = await asyncio.gather(*writes, return_exceptions=True)

    assert [None, None, StorageError, None, StorageError, None] == [each and type(each) for each in results]
    assert ["a", "b", "c", "d"] == await names(database)


UNFIT = [(10**20, "63 bits"), (-(10**20), "63 bits"), ("\ud800", "a lone surrogate"), (object(), "no value")]


@pytest.mark.parametrize("value", [each for each, _ in UNFIT], ids=[name for _, name in UNFIT])
async def test_a_value_that_does_not_fit_fails_alone(database, value):
    """Rolled back, as an error of ours, together with others or by itself; the database stays usable."""
    writes = [database.write((INSERT, [(name, at)])) for name, at in (("a", 1), ("b", 2))]
    wrong = database.write((INSERT, [("c", 3)]), ("INSERT INTO coins VALUES ('', 'd', 'BTC', '[]', ?)", [(value,)]))
    results = await asyncio.gather(writes[0], wrong, writes[1], return_exceptions=True)
    assert [None, StorageError, None] == [each and type(each) for each in results]
    with pytest.raises(StorageError, match="does not fit"):
        await database.write((INSERT, [("e", value)]))
    assert None is database.failure
    await database.write((INSERT, [("f", 4)]))

    assert ["a", "b", "f"] == await names(database)


@pytest.mark.parametrize("value", [each for each, _ in UNFIT], ids=[name for _, name in UNFIT])
async def test_a_question_that_does_not_fit_fails_alone(database, value):
    """As an error of ours; the readers go on."""
    for _ in range(8):
        with pytest.raises(StorageError, match="does not fit"):
            await database.read("SELECT 1 WHERE 1 = ?", (value,))

    assert [(1,)] == await database.read("SELECT 1")
    assert None is database.failure


def end_this_thread():
    """Raise what ends a thread whatever it catches."""
    raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_writer_that_has_ended_is_noticed(database):
    """Everybody who waits for it is told, and who comes later; reading goes on."""
    database._connection.create_scalar_function("end_this_thread", end_this_thread)
    ending = [database.write(("SELECT end_this_thread()", [()])), database.write((INSERT, [("a", 1)]))]
    async with asyncio.timeout(5):
        results = await asyncio.gather(*ending, return_exceptions=True)
        assert [StorageUnavailable, StorageUnavailable] == [type(each) for each in results]
        database._writer.join()
        with pytest.raises(StorageUnavailable, match="chandlery-db-write has ended"):
            await database.write((INSERT, [("a", 1)]))
    assert "chandlery-db-write has ended" in str(database.failure)
    assert [] == await names(database)

    await database.restore()
    await database.write((INSERT, [("a", 1)]))
    assert None is database.failure
    assert ["a"] == await names(database)


async def test_a_reader_that_has_ended_is_noticed(database):
    """It is named."""
    await names(database)
    thread = threading.Thread(target=lambda: None, name="chandlery-db-read_9")
    thread.start()
    thread.join()
    assert None is database.failure
    database._reader_threads.append(thread)

    assert "chandlery-db-read_9 has ended" in str(database.failure)
    await database.restore()
    assert None is database.failure
    assert [] == await names(database)


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_file_that_was_deleted_or_replaced_is_noticed(database, suffix):
    """Nothing is acknowledged that nobody could read again; put back, it goes on."""
    await database.write((INSERT, [("a", 1)]))
    file, moved = database.path.with_name(database.path.name + suffix), database.path.with_name("moved")
    file.rename(moved)
    for _ in range(2):
        assert "was deleted or replaced" in str(database.failure)
        with pytest.raises(StorageUnavailable, match="was deleted or replaced"):
            await database.write((INSERT, [("b", 1)]))
        file.touch()
    moved.rename(file)
    await database.restore()
    assert None is database.failure
    await database.write((INSERT, [("c", 1)]))

    assert ["a", "c"] == await names(database)


async def test_a_failure_lasts_no_longer_than_its_cause(database):
    """Also where nobody writes."""
    await without_room(database)
    with pytest.raises(StorageFull):
        await database.write((INSERT, [(f"{n}" * 1000, n) for n in range(1000)]))
    assert isinstance(database.failure, StorageFull)
    await database.restore()

    assert None is database.failure


async def test_many_small_writes_share_commits(database):
    """A thousand writes at once take far fewer commits; each is acknowledged."""
    await asyncio.gather(*(database.write((INSERT, [(f"e{at}", at)])) for at in range(1000)))

    assert 1000 == len(await names(database))
    frames = database.path.with_name(database.path.name + "-wal").stat().st_size / 4096
    assert frames < 500


async def test_too_many_waiting_writes_are_refused(tmp_path):
    """Loudly, at once, and those that were accepted are committed."""
    async with SqliteDatabase(tmp_path / "d.sqlite3", max_waiting=10, busy_ms=5000) as database:
        lock = apsw.Connection(str(database.path))
        lock.execute("BEGIN IMMEDIATE")
        writes = [asyncio.ensure_future(database.write((INSERT, [(f"e{at}", at)]))) for at in range(30)]
        await asyncio.sleep(0)
        refused = [each for each in writes if each.done()]
        assert all(isinstance(each.exception(), StorageBusy) for each in refused)
        assert 15 < len(refused) <= 20
        lock.execute("ROLLBACK")
        await asyncio.gather(*writes, return_exceptions=True)
        assert 30 - len(refused) == len(await names(database))
        lock.close()


async def test_a_locked_file(database):
    """Whoever holds the lock for too long makes writes fail, reads go on; when it is free, writing goes on."""
    await database.write((INSERT, [("a", 1)]))
    lock = apsw.Connection(str(database.path))
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy, match="another process") as caught:
        await database.write((INSERT, [("b", 2)]))
    assert caught.value is database.failure
    assert ["a"] == await names(database)
    lock.execute("ROLLBACK")
    lock.close()
    await database.write((INSERT, [("c", 3)]))

    assert ["a", "c"] == await names(database)
    assert None is database.failure


async def test_a_full_file(database):
    """Nothing of a write that finds no room is kept, everything before it is; with room, writing goes on."""
    await database.write((INSERT, [("a", 1)]))
    await without_room(database)
    with pytest.raises(StorageFull, match="no space left"):
        await database.write((INSERT, [(f"{at:0500}", at) for at in range(1000)]))
    assert isinstance(database.failure, StorageFull)
    assert ["a"] == await names(database)
    await with_room(database)
    await database.write((INSERT, [("b", 2)]))

    assert ["a", "b"] == await names(database)
    assert [] == await database.check()


WRITER = """
import asyncio, resource, sys
from pathlib import Path
from chandlery.core.errors import StorageError
from chandlery.database.sqlite import SqliteDatabase

async def main():
    async with SqliteDatabase(Path(sys.argv[1])) as database:
        limit = int(sys.argv[2])
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for at in range(100_000):
            try:
                await database.write(("INSERT INTO coins VALUES ('', ?, ?, '[]', ?)", [(f"e{at}", "x" * 200, at)]))
            except StorageError as error:
                print("failed", type(error).__name__, error, flush=True)
                return
            print(at, flush=True)

asyncio.run(main())
"""


def acknowledged(output):
    """The numbers that a writer has printed."""
    return [int(line) for line in output.splitlines() if line.isdigit()]


async def kept(path):
    """What is in the file, once it was found to be in order."""
    async with SqliteDatabase(path) as database:
        assert [] == await database.check()
        return [int(name.removeprefix("e")) for name in await names(database)]


async def test_a_disk_that_takes_no_more(tmp_path):
    """The write that does not fit fails by name, and all that were acknowledged are there."""
    path = tmp_path / "d.sqlite3"
    script = [sys.executable, "-c", WRITER, str(path), "400000"]
    done = await asyncio.to_thread(subprocess.run, script, capture_output=True, text=True, timeout=60, check=True)

    assert re.search(r"failed Storage(Unavailable|Full) d\.sqlite3", done.stdout)
    told = acknowledged(done.stdout)
    assert len(told) > 10
    assert told == await kept(path)


def killed(path, after):
    """What a writer had acknowledged when it was killed after so many lines."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "0"], stdout=subprocess.PIPE, text=True)
    lines = [child.stdout.readline() for _ in range(after)]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate(timeout=30)
    complete = rest[: rest.rfind("\n") + 1]
    return acknowledged("".join(lines) + complete)


@pytest.mark.parametrize("after", [1, 40, 333])
async def test_a_killed_writer(tmp_path, after):
    """All that was acknowledged is there, and the file is in order."""
    path = tmp_path / "d.sqlite3"
    told = await asyncio.to_thread(killed, path, after)

    assert len(told) >= after
    assert set(told) <= set(await kept(path))


async def test_closing_commits_what_waits(tmp_path):
    """What was accepted before ``close`` is kept; what comes after is refused."""
    database = SqliteDatabase(tmp_path / "d.sqlite3")
    await database.open()
    await database.open()
    writes = [asyncio.ensure_future(database.write((INSERT, [(f"e{at}", at)]))) for at in range(100)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    await asyncio.gather(*writes)
    for late in (database.write((INSERT, [("late", 1)])), database.read("SELECT 1")):
        with pytest.raises(Closed):
            await late

    assert [*range(100)] == await kept(database.path)


async def test_a_file_that_is_no_database(tmp_path):
    """It is named, and left as it is."""
    path = tmp_path / "d.sqlite3"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(CorruptStorage, match=r"d\.sqlite3"):
        await SqliteDatabase(path).open()

    assert b"something else" * 1000 == path.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_to(tmp_path):
    """It cannot be opened, and the error says which file."""
    tmp_path.chmod(0o500)
    with pytest.raises(StorageUnavailable):
        await SqliteDatabase(tmp_path / "d.sqlite3").open()
    tmp_path.chmod(0o700)


async def test_a_folder_that_is_not_there(tmp_path):
    """It cannot be opened, and the error says which file."""
    with pytest.raises(StorageUnavailable, match=r"d\.sqlite3"):
        await SqliteDatabase(tmp_path / "missing" / "d.sqlite3").open()


async def test_vacuum_gives_back_space(database):
    """The file shrinks, and what it holds stays."""
    await database.write((INSERT, [(f"{at:0500}", at) for at in range(2000)]))
    await database.write(("DELETE FROM coins WHERE since > ?", [(0,)]))
    await database.vacuum()

    assert 1 == len(await names(database))
    assert (await database.read("PRAGMA page_count"))[0][0] < 50
