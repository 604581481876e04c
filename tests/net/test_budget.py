"""The arithmetic of limits, and the file that processes share."""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import CacheError, RateLimited
from chandlery.core.http import RateLimit
from chandlery.core.time import HOUR, SECOND
from chandlery.net.budget import Budget, BudgetFile, Window

NOW = 1_700_000_000 * SECOND
LIMIT = RateLimit(10, 60)


def test_a_free_budget_answers_now():
    """What fits is booked at the very moment."""
    assert NOW + 7 == Budget().book((LIMIT,), 10, now=NOW + 7, latest=NOW + 7)


def test_a_full_budget_answers_when_the_window_has_passed():
    """The next moment with room lies 62 slices, a window and a thirtieth, after the use."""
    budget = Budget()
    budget.book((LIMIT,), 10, now=NOW, latest=NOW)

    assert NOW + 62 * SECOND == budget.book((LIMIT,), 1, now=NOW, latest=NOW + HOUR)


def test_what_lies_after_the_latest_is_not_booked():
    """The moment is told, the budget is left as it was."""
    budget = Budget()
    budget.book((LIMIT,), 10, now=NOW, latest=NOW)
    budget.book((LIMIT,), 10, now=NOW, latest=NOW + SECOND)

    assert 10 == sum(budget.window(LIMIT).used.values())


def test_what_is_released_can_be_used():
    """A booking that is given back leaves no trace."""
    budget = Budget()
    at = budget.book((LIMIT,), 10, now=NOW, latest=NOW)
    budget.release((LIMIT,), 10, at)

    assert {} == budget.window(LIMIT).used
    assert NOW == budget.book((LIMIT,), 10, now=NOW, latest=NOW)


def test_the_strictest_limit_decides():
    """With several limits, all must have room at the moment of use."""
    limits = (RateLimit(2, 1), RateLimit(3, 60))
    budget = Budget()
    booked = [budget.book(limits, 1, now=NOW, latest=NOW + HOUR) - NOW for _ in range(4)]

    assert [0, 0] == booked[:2]
    assert SECOND < booked[2] < 2 * SECOND
    assert booked[3] == 62 * SECOND


@given(
    weights=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 5 * SECOND)), max_size=60),
    seconds=st.sampled_from([0.001, 1, 7, 60, 300]),
)
def test_any_62_slices_keep_the_limit(weights, seconds):
    """However it is asked, no stretch of 62 slices is booked beyond the limit, and none out of order."""
    limit = RateLimit(10, seconds)
    window = Window(limit.weight, limit.seconds)
    now, booked = NOW, []
    for weight, later in weights:
        now += later
        at = window.earliest(now, weight)
        window.add(at, weight)
        booked.append((at // window.slice_length, weight))

    assert sorted(place for place, _ in booked) == [place for place, _ in booked]
    for place, _ in booked:
        assert sum(weight for other, weight in booked if place <= other < place + 62) <= 10


def test_a_budget_is_kept(tmp_path):
    """What one open changed, the next sees; a shorter content after a longer one is read right."""
    path = tmp_path / "budget"
    with BudgetFile(path).open() as budget:
        budget.paused_until = NOW
        for second in range(60):
            budget.window(LIMIT).add(NOW + second * SECOND, 3)
    file = BudgetFile(path)
    with file.open() as budget:
        assert NOW == budget.paused_until
        budget.window(LIMIT).used.clear()
    with file.open() as budget:
        assert Budget(NOW) == budget
    assert 0 == file.damaged


def test_a_damaged_file_is_counted(tmp_path):
    """It is replaced and the count says so."""
    path = tmp_path / "budget"
    path.write_bytes(b"\x01\0\0\0rubbish")
    file = BudgetFile(path)
    for _ in range(2):
        with file.open() as budget:
            assert Budget() == budget

    assert 1 == file.damaged


def test_a_lock_that_is_never_given_back_is_not_waited_for(tmp_path):
    """A process that is stopped while it holds the lock costs a second, not for ever."""
    path = tmp_path / "budget"
    path.touch()
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RateLimited, match="holds the lock"), BudgetFile(path).open():
            pass


def test_a_link_is_not_followed(tmp_path):
    """Somebody else's link in a shared folder leads nowhere."""
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(CacheError), BudgetFile(tmp_path / "link").open():
        pass
    assert not (tmp_path / "target").exists()


def test_a_killed_process_gives_its_lock_back(tmp_path):
    """Kill -9 with the lock held leaves the file usable."""
    path = tmp_path / "budget"
    script = (
        "import sys; from pathlib import Path; from chandlery.net.budget import BudgetFile\n"
        "with BudgetFile(Path(sys.argv[1])).open(): print('held', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert "held\n" == process.stdout.readline()
        process.kill()
    with BudgetFile(path).open() as budget:
        assert Budget() == budget


def test_a_pause_is_looked_up_without_taking_a_turn(tmp_path):
    """Nothing is known where there is no file; a file that is read by halves is read again in turn."""
    path = tmp_path / "host"
    file = BudgetFile(path)
    assert 0 == file.paused_until()

    with file.open() as budget:
        budget.paused_until = 77
    assert 77 == file.paused_until()

    path.write_bytes(path.read_bytes()[:-1])
    assert 0 == file.paused_until()
    assert 1 == file.damaged


def test_a_pause_that_cannot_be_looked_up_is_an_error(tmp_path):
    """Not a licence to ask."""
    with pytest.raises(CacheError, match="cannot share rate limits"):
        BudgetFile(tmp_path).paused_until()
