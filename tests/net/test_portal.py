"""The synchronous face: from anywhere, with the errors and interruptions that one expects."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from chandlery.core.errors import Closed, InvalidInput, RequestTimeout
from chandlery.net.portal import Portal, shared_portal


@pytest.fixture
def portal():
    opened = Portal()
    yield opened
    opened.close()


async def _double(number):
    await asyncio.sleep(0)
    return 2 * number


async def test_it_runs_inside_a_running_loop(portal):
    """As in a notebook."""
    assert 42 == portal.run(_double(21))


def test_it_serves_threads_at_once(portal):
    """Coroutines of several threads run side by side in one loop: they can only pass the barrier together."""
    arrived = []
    all_here = asyncio.Event()

    async def meet():
        arrived.append(threading.current_thread().name)
        if len(arrived) == 8:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 10)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: portal.run(meet()), range(8)))

    assert ["chandlery-portal"] * 8 == arrived


def test_errors_keep_type_and_traceback(portal):
    """What the coroutine raises comes out, and its traceback leads into the coroutine."""

    async def fail():
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside") as raised:
        portal.run(fail())

    assert "fail" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


def test_a_timeout_of_the_coroutine_is_its_own(portal):
    """A ``TimeoutError`` from inside is not mistaken for the portal's."""

    async def fail():
        raise TimeoutError("inside")

    with pytest.raises(TimeoutError, match="inside"):
        portal.run(fail(), timeout_s=10)


def test_after_the_timeout_the_coroutine_is_cancelled(portal):
    """The caller gets ``RequestTimeout``, the coroutine its cancellation."""
    cancelled = threading.Event()

    async def linger():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(RequestTimeout):
        portal.run(linger(), timeout_s=0.05)
    assert cancelled.wait(10)


def test_it_refuses_to_wait_for_itself(portal):
    """Called from its own thread it raises, where waiting would never end."""

    async def nested():
        portal.run(_double(1))

    with pytest.raises(InvalidInput, match="use await"):
        portal.run(nested())


def test_closing_cancels_what_runs(portal):
    """Those who wait get ``Closed``, later ones too; the thread is gone; closing again is nothing."""
    running = threading.Event()

    async def linger():
        running.set()
        await asyncio.sleep(60)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(portal.run, linger())
        assert running.wait(10)
        portal.close()
        with pytest.raises(Closed):
            waiting.result(10)
    portal.close()
    with pytest.raises(Closed):
        portal.run(_double(1))
    assert not [each for each in threading.enumerate() if each is portal._thread]


def test_all_share_one():
    """The shared portal is the same for everybody."""
    assert shared_portal() is shared_portal()
    assert 6 == shared_portal().run(_double(3))


def _python(code, **options):
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("left", ["", "asyncio.run_coroutine_threadsafe(asyncio.sleep(60), portal._loop)"])
def test_the_end_of_the_process_is_silent(left):
    """No warning, no hang, whether or not something still runs."""
    process = _python(f"""
        import asyncio
        from chandlery.net.portal import shared_portal
        portal = shared_portal()
        portal.run(asyncio.sleep(0))
        {left}
    """)
    out, err = process.communicate(timeout=30)

    assert (0, "", "") == (process.returncode, out, err)


def test_an_interrupt_cancels_the_coroutine():
    """Ctrl-C in the waiting thread ends the wait at once and cancels what was waited for."""
    process = _python("""
        import asyncio, threading
        from chandlery.net.portal import shared_portal
        cancelled = threading.Event()
        async def linger():
            print("running", flush=True)
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()
        try:
            shared_portal().run(linger())
        except KeyboardInterrupt:
            print("interrupted", cancelled.wait(10))
    """)
    assert "running\n" == process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (0, "interrupted True\n", "") == (process.returncode, out, err)


def test_a_forked_child_has_a_portal_of_its_own():
    """The thread does not survive a fork; the child's first call starts one, and the parent's goes on."""
    process = _python("""
        import asyncio, os
        from chandlery.net.portal import shared_portal
        async def who():
            return os.getpid()
        assert shared_portal().run(who()) == os.getpid()
        child = os.fork()
        assert shared_portal().run(who(), timeout_s=10) == os.getpid()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            assert shared_portal().run(who(), timeout_s=10) == os.getpid()
        else:
            os._exit(0)
    """)
    out, err = process.communicate(timeout=30)

    assert (0, "0\n", "") == (process.returncode, out, err)


def test_this_process_was_not_disturbed():
    """The tests above left the shared portal working."""

    async def who():
        return os.getpid()

    assert os.getpid() == shared_portal().run(who())


def test_work_in_atexit_is_an_error_of_ours():
    """Python has ended its threads by then; what needs one says so."""
    process = _python("""
        import asyncio, atexit
        from chandlery.core.errors import Closed
        def late():
            from chandlery.net.portal import shared_portal
            try:
                shared_portal().run(asyncio.to_thread(print, "never"))
            except Closed as error:
                print("Closed")
        atexit.register(late)
        import chandlery.net.portal
        atexit.register(late)
    """)
    out, err = process.communicate(timeout=60)

    assert (0, "Closed\nClosed\n", "") == (process.returncode, out, err)
