"""How often a login may fail."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import LoginFailed, Overloaded, TooManyLogins
from chandlery.service.auth.logins import FREE_FAILURES, LoginGuard
from fixtures.service_accounts import SetClock


def end(error):
    """End a try so."""
    if error is not None:
        raise error


class Waits:
    """A sleep that notes for how long it was asked, and does not wait."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


class Login:
    """Logs in, and notes which tries were judged."""

    def __init__(self, clock, **options):
        self.waits = Waits()
        self.guard = LoginGuard(clock, sleep=self.waits, **options)
        self.judged = Counter()

    async def __call__(self, account, address, *, right=False, name=None, error=None, takes_s=0):
        """How a try ends: ``in``, ``wrong``, or the seconds to wait."""
        name = name or account or "nobody"
        try:
            async with self.guard.one_try(account, name, address):
                self.judged[name, address] += 1
                await asyncio.sleep(takes_s)
                end(error or (None if right else LoginFailed("wrong")))
        except TooManyLogins as refused:
            return refused.retry_after_s
        except LoginFailed:
            return "wrong"
        return "in"


@pytest.fixture
def login(clock):
    """One at which nobody has failed."""
    return Login(clock)


async def fail(login, times, account="ada", address="a"):
    """Fail so many times."""
    return [await login(account, address) for _ in range(times)]


async def test_pauses_grow(login, clock):
    """After some failures each further one costs twice the time, up to a quarter of an hour."""
    await fail(login, FREE_FAILURES)
    waits = []
    for _ in range(12):
        waits.append(await login("ada", "a", right=True))
        clock.later(waits[-1])
        assert "wrong" == await login("ada", "a")

    assert [2, 4, 8, 16, 32] == waits[:5]
    assert [900, 900] == waits[-2:]


@pytest.mark.parametrize("account", ["ada", None])
async def test_guesses_in_parallel(login, account):
    """Of very many at once no more are judged than one after the other; the right one among them helps only then."""
    answers = await asyncio.gather(*(login(account, "a", right=number == 60) for number in range(120)))

    assert FREE_FAILURES == sum(login.judged.values())
    assert {"wrong": 5, 2: 115} == Counter(answers)
    assert 2 == await login(account, "a", right=True)


async def test_right_secrets_in_parallel(login):
    """A fleet that starts at once gets in, however large it is."""
    assert {"in": 200} == Counter(await asyncio.gather(*(login("ada", "a", right=True) for _ in range(200))))
    assert not login.guard._counters


@given(st.lists(st.sampled_from(["wrong", "right", "busy", "gone", "later"]), max_size=60))
async def test_no_more_are_judged_than_may_fail(steps):
    """Whatever happens: the sum of the pauses is behind whoever has failed so often since the last success."""
    clock = SetClock()
    login, failures, waited = Login(clock), 0, 0
    errors = {"busy": Overloaded("x", retry_after_s=1), "gone": asyncio.CancelledError()}
    for step in steps:
        if step == "later":
            clock.later(7)
            waited += 7
            continue
        judged = sum(login.judged.values())
        try:
            answer = await login("ada", "a", right=step == "right", error=errors.get(step))
        except (Overloaded, asyncio.CancelledError):
            answer = step
        if sum(login.judged.values()) == judged:
            assert isinstance(answer, int)
        elif answer == "in":
            failures, waited = 0, 0
        elif answer != "busy":
            failures += 1
        assert failures <= FREE_FAILURES or waited >= 2 * (2 ** (failures - FREE_FAILURES) - 1)


async def test_a_stranger_shuts_nobody_out(login):
    """Neither the account elsewhere nor other accounts at the same address, whatever names the stranger tries."""
    await fail(login, 10)
    await fail(login, 10, account=None)

    assert 2 == await login("ada", "a", right=True)
    assert "in" == await login("ada", "b", right=True)
    assert "in" == await login("bob", "a", right=True)


async def test_answers_do_not_tell_which_names_there_are(clock):
    """The same tries at names that are somebody's and nobody's get the same answers."""
    for before in range(8):
        answers = []
        for account in ("ada", None):
            login = Login(clock)
            await fail(login, before, account=None)
            tried = [await login(account, "a", name="ada") for _ in range(3)]
            answers.append([*tried, await login(None, "a"), await login("bob", "a")])
        assert answers[0] == answers[1], before


async def test_a_refusal_takes_as_long_as_a_judgement(clock):
    """Else the time would tell what the answer does not; and less than a second."""
    for judging_s, refusal_s in ((0.05, 0.05), (1.5, 0.9)):
        login = Login(clock)
        await fail(login, FREE_FAILURES - 1, account=None)
        assert "wrong" == await login(None, "a", takes_s=judging_s)
        assert 2 == await login(None, "a")
        assert [refusal_s] == pytest.approx(login.waits.seconds, abs=0.045)


async def test_an_account_under_attack_is_slowed(login, clock):
    """From many addresses: each try waits longer, two seconds at most, and the right secret is let in; it ends with the attack."""
    for number in range(100):
        assert "wrong" == await login("ada", f"a{number}")
    waits = login.waits.seconds
    assert 0.1 == pytest.approx(waits[0])
    assert sorted(waits) == waits
    assert 2.0 == waits[-1]

    waits.clear()
    assert "in" == await login("ada", "home", right=True)
    assert [2.0] == waits
    clock.later(2 * 3600)
    assert "in" == await login("ada", "home", right=True)
    assert [2.0] == waits


async def test_whoever_was_there_before_is_not_slowed(login):
    """Nor waits for room: the account at an address from which it has logged in."""
    assert "in" == await login("ada", "home", right=True)
    for number in range(100):
        await login("ada", f"a{number}")
    login.waits.seconds.clear()
    for address, known in (("home", True), ("elsewhere", False)):
        async with login.guard.one_try("ada", "ada", address) as before:
            assert known == before

    assert [2.0] == login.waits.seconds


async def test_it_is_forgotten_in_time(login, clock):
    """After a quarter of an hour without failures, the count begins anew."""
    await fail(login, FREE_FAILURES)
    clock.later(1000)
    await fail(login, FREE_FAILURES - 1)

    assert "in" == await login("ada", "a", right=True)


async def test_success_forgives_the_pair_and_not_the_address(login):
    """Else one known account would let an address guess all others without a pause."""
    await fail(login, FREE_FAILURES - 1)
    assert "in" == await login("ada", "a", right=True)
    assert ["wrong"] == await fail(login, 1)

    assert 2 == await login(None, "a")
    assert "in" == await login("ada", "a", right=True)


async def test_nobody_fills_the_memory_nor_empties_it(clock):
    """The table is bounded; what makes somebody wait is dropped last."""
    login = Login(clock, remembered=20)
    await fail(login, FREE_FAILURES, address="guilty")
    for number in range(500):
        await fail(login, 1, address=f"a{number}")

    assert 20 == len(login.guard._counters)
    assert 2 == await login("ada", "guilty", right=True)


async def test_whoever_waits_for_others_waits_no_longer_than_a_bound(clock):
    """It is asked to try again, and nothing of it is counted."""
    guard = LoginGuard(clock, timeout_s=0.05)
    over = asyncio.Event()

    async def slow():
        async with guard.one_try("ada", "ada", "a"):
            await over.wait()

    tries = [asyncio.create_task(slow()) for _ in range(FREE_FAILURES + 1)]
    with pytest.raises(Overloaded) as caught:
        await tries[-1]
    assert 1 == caught.value.retry_after_s
    over.set()
    await asyncio.gather(*tries[:-1])
    assert not guard._counters
