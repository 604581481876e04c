"""Clients and users."""

from __future__ import annotations

import jwt
import pytest

from chandlery.core.errors import InvalidInput, LoginFailed, TooManyLogins
from chandlery.core.time import SECOND
from fixtures.service_accounts import ISSUER

PASSWORD = "correct horse battery"


async def test_a_client_logs_in(module, clock):
    """By its id and the secret that was shown once; the token says what RFC 9068 asks for."""
    client, secret = await module.create_client("bot", ["read", "collect"])
    token = await module.login("client", client.id, secret)
    head = jwt.get_unverified_header(token.text)
    content = jwt.decode(token.text, options={"verify_signature": False})

    assert ("at+jwt", "ES256") == (head["typ"], head["alg"])
    assert {"iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope"} == set(content)
    assert (ISSUER, ISSUER, client.id, "read collect") == tuple(
        content[each] for each in ("iss", "aud", "sub", "scope")
    )
    assert 900 == content["exp"] - content["iat"]
    assert clock() // SECOND == content["iat"]
    assert secret not in repr(token) + repr(client)
    assert token.text not in repr(token)


async def test_a_user_logs_in(module):
    """By name; not as a client, nor by the id."""
    user = await module.create_user("ada", PASSWORD, ["read"])
    assert ("read",) == (await module.login("user", "ada", PASSWORD)).scopes
    for kind, name in (("client", "ada"), ("client", user.id), ("user", user.id)):
        with pytest.raises(LoginFailed):
            await module.login(kind, name, PASSWORD)


async def test_a_part_of_the_scopes_may_be_asked_for(module):
    """Of more, what there is of it; nothing that there is not, and only for this service."""
    client, secret = await module.create_client("bot", ["read", "collect"])
    narrow = await module.login("client", client.id, secret, scope="read", resource=f"{ISSUER}/mcp")

    assert ("read",) == narrow.scopes
    assert f"{ISSUER}/mcp" == jwt.decode(narrow.text, options={"verify_signature": False})["aud"]
    wide = await module.login("client", client.id, secret, scope="admin read collect")
    assert (("read", "collect"), "read collect") == (
        wide.scopes,
        jwt.decode(wide.text, options={"verify_signature": False})["scope"],
    )
    for wrong in ("admin", "read everything"):
        with pytest.raises(InvalidInput, match=f"invalid_scope: {wrong.split()[-1]}"):
            await module.login("client", client.id, secret, scope=wrong)
    with pytest.raises(InvalidInput, match="invalid_target"):
        await module.login("client", client.id, secret, resource="http://elsewhere")


async def test_wrong_logins(module):
    """All say the same, whether the name is known or not; then they have to wait, also with the right secret."""
    client, secret = await module.create_client("bot", ["read"])
    said = set()
    for name in (client.id, "client-none", "n" * 300):
        with pytest.raises(LoginFailed) as caught:
            await module.login("client", name, "wrong", address="a")
        said.add(str(caught.value))
    assert 1 == len(said)
    for _ in range(5):
        with pytest.raises(LoginFailed):
            await module.login("client", client.id, "wrong", address="b")
    with pytest.raises(TooManyLogins):
        await module.login("client", client.id, secret, address="b")
    await module.login("client", client.id, secret, address="a")


async def test_what_is_too_long_is_not_judged(module):
    """It costs nothing, and counts for nothing."""
    client, secret = await module.create_client("bot", ["read"])
    for name, given in ((client.id, "x" * 5000), ("n" * 300, "x")):
        for _ in range(20):
            with pytest.raises(LoginFailed):
                await module.login("client", name, given)
    await module.login("client", client.id, secret)


async def test_a_revoked_client_logs_in_no_more(module):
    """And is not revoked twice."""
    client, secret = await module.create_client("bot", ["read"])
    await module.revoke(client.id)
    with pytest.raises(LoginFailed):
        await module.login("client", client.id, secret)
    with pytest.raises(InvalidInput, match="auth list"):
        await module.revoke(client.id)


@pytest.mark.parametrize(
    ("name", "password", "scopes", "said"),
    [
        ("ada", "short", ["read"], "12 to 1024"),
        (" ", PASSWORD, ["read"], "name"),
        ("a" * 257, PASSWORD, ["read"], "at most 256"),
        ("ada", PASSWORD, ["fly"], "fly"),
        ("ada", PASSWORD, [], "use read"),
    ],
)
async def test_made_wrongly(module, name, password, scopes, said):
    """It says what would be right."""
    with pytest.raises(InvalidInput, match=said):
        await module.create_user(name, password, scopes)


async def test_a_name_is_taken_once(module):
    """Users log in by it."""
    await module.create_user("ada", PASSWORD, ["read"])
    with pytest.raises(InvalidInput, match="already"):
        await module.create_user("ada", PASSWORD, ["read"])
