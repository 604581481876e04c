from __future__ import annotations

import threading

import pytest

from chandlery.cache import files
from chandlery.core.errors import CacheError, StorageBusy


def test_a_lock_admits_one_at_a_time(tmp_path):
    """Threads exclude each other as processes do."""
    inside, most = 0, 0
    guard = threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(20):
            with files.locked(tmp_path):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1


def test_waiting_for_a_lock_ends(tmp_path):
    """After the time-out the caller learns what is in use."""
    now, slept = 0.0, []

    def sleep(seconds):
        nonlocal now
        slept.append(seconds)
        now += seconds

    with (
        files.locked(tmp_path),
        pytest.raises(CacheError, match="locked by another process"),
        files.locked(tmp_path, timeout_s=2, sleep=sleep, monotonic=lambda: now),
    ):
        pass
    assert 2 <= sum(slept) < 2.2
    assert max(slept) <= 0.005


def test_a_lock_of_a_removed_folder_is_not_held(tmp_path):
    """Who waited for it takes the lock of the folder that is there now."""
    folder = tmp_path / "series"

    def remove(_seconds):
        files.remove_lock(folder)

    with files.locked(folder), files.locked(folder, sleep=remove):
        assert (folder / files.LOCK).exists()


def test_a_file_is_replaced_at_once_and_nothing_is_left_beside_it(tmp_path):
    """The new content is whole."""
    path = tmp_path / "file"
    files.replace(path, b"old")
    written = files.replace(path, bytearray(b"newer"))
    assert path.read_bytes() == b"newer"
    assert written.st_size == 5
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    """And no temporary one."""
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.replace(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_who_is_alone_is_alone(tmp_path):
    """A second one is refused by name, another name is not, and afterwards the place is free."""
    with files.alone_in(tmp_path, "service"):
        with pytest.raises(StorageBusy, match="another service uses"), files.alone_in(tmp_path, "service"):
            pass
        with files.alone_in(tmp_path, "other"):
            pass
    with files.alone_in(tmp_path, "service"):
        pass
