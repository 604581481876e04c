"""``chandlery auth``."""

from __future__ import annotations

import asyncio
import json
import subprocess

import aiohttp
import pytest

from chandlery.core.errors import InvalidToken
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.service.auth.wiring import authentication
from chandlery.service.run import running
from chandlery.service.settings import ServiceSettings


def login(folder, *args):
    """The scopes of the token that somebody gets."""

    async def run():
        async with SqliteDatabase(folder / FILE_NAME) as database:
            return (await authentication(database, system_clock, issuer="http://x").login(*args)).scopes

    return asyncio.run(run())


def test_a_client_is_made_and_may_log_in(chandlery, tmp_path):
    """With what was shown, once, and what it may."""
    made = chandlery(
        "auth", "create-client", "bot", "--scope", "read", "--scope", "collect", "--data-dir", tmp_path, "--json"
    )
    shown = json.loads(made[1])

    assert ("read", "collect") == login(tmp_path, "client", shown["client_id"], shown["client_secret"])
    code, out, err = chandlery("auth", "create-client", "bot", "--data-dir", tmp_path)
    assert (0, 2) == (code, len(out.splitlines()))
    assert "not shown again" in err


def test_an_account_may_be_made_before_an_offline_service_begins(chandlery, tmp_path):
    """An account is no data: the new folder is still one for made-up data, and its client is let in."""
    shown = json.loads(chandlery("auth", "create-client", "bot", "--data-dir", tmp_path, "--json")[1])

    async def run():
        settings = ServiceSettings(_env_file=None, offline=True, port=0, data_dir=tmp_path)
        async with running(settings) as service, aiohttp.ClientSession(service.url) as session:
            form = {"grant_type": "client_credentials", "client_id": shown["client_id"]}
            async with session.post("/token", data={**form, "client_secret": shown["client_secret"]}) as answer:
                token = (await answer.json())["access_token"]
            async with session.get("/v1/coins", headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status, answer.headers["X-Chandlery-Origin"]

    assert (200, "offline-7") == asyncio.run(run())


def test_a_user_is_made_by_a_script(process, tmp_path):
    """The password comes from stdin and stands in no list of processes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    child = process("auth", "create-user", "ada", "--data-dir", tmp_path, **pipes)
    out, _ = child.communicate("correct horse battery\n", timeout=30)

    assert 0 == child.returncode
    assert out.startswith("user-")
    assert ("read",) == login(tmp_path, "user", "ada", "correct horse battery")


def test_list_and_revoke(chandlery, tmp_path):
    """Who there is, never a secret; who is revoked is marked."""
    shown = json.loads(chandlery("auth", "create-client", "bot", "--data-dir", tmp_path, "--json")[1])
    assert 0 == chandlery("auth", "revoke", shown["client_id"], "--data-dir", tmp_path)[0]
    (found,) = json.loads(chandlery("auth", "list", "--data-dir", tmp_path, "--json")[1])

    assert (shown["client_id"], "client", "bot", "read") == tuple(
        found[each] for each in ("id", "kind", "name", "scopes")
    )
    assert found["revoked"]
    assert "bot" in chandlery("auth", "list", "--data-dir", tmp_path)[1]
    code, _, err = chandlery("auth", "revoke", shown["client_id"], "--data-dir", tmp_path)
    assert (2, True) == (code, "unknown or revoked" in err)


def test_keys_are_rotated(chandlery, tmp_path):
    """Each time another one signs."""
    said = {chandlery("auth", "rotate-keys", "--data-dir", tmp_path)[1] for _ in range(3)}

    assert 3 == len(said)


def test_nobody_yet(chandlery, tmp_path):
    """An empty list says how to make one, no database that there is none."""
    assert 2 == chandlery("auth", "list", "--data-dir", tmp_path)[0]
    chandlery("db", "migrate", "--data-dir", tmp_path)
    assert "create-client" in chandlery("auth", "list", "--data-dir", tmp_path)[1]


@pytest.mark.parametrize("scope", ["fly", ""])
def test_asked_wrongly(chandlery, tmp_path, scope):
    """An unknown scope is named, with those that there are."""
    code, _, err = chandlery("auth", "create-client", "bot", "--scope", scope, "--data-dir", tmp_path)

    assert 2 == code
    assert "read, collect, admin" in err


def test_one_token_is_revoked(process, tmp_path):
    """It comes from stdin and stands in no list of processes."""

    async def given():
        async with SqliteDatabase(tmp_path / FILE_NAME) as database:
            module = authentication(database, system_clock, issuer="http://x")
            client, secret = await module.create_client("bot", ["read"])
            return [(await module.login("client", client.id, secret)).text for _ in range(2)]

    async def judged(token):
        async with SqliteDatabase(tmp_path / FILE_NAME) as database:
            return (await authentication(database, system_clock, issuer="http://x").validate_token(token)).scopes

    revoked, other = asyncio.run(given())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    out, _ = process("auth", "revoke-token", "--data-dir", tmp_path, **pipes).communicate(f"{revoked}\n", timeout=60)
    assert out.endswith(" is revoked\n")
    with pytest.raises(InvalidToken, match="revoked"):
        asyncio.run(judged(revoked))
    assert {"read"} == asyncio.run(judged(other))
