"""Who is let in with which token."""

from __future__ import annotations

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import ISSUER, claims, wrong_tokens
from chandlery.core.errors import InvalidToken, TokenExpired
from chandlery.core.time import SECOND
from chandlery.service.auth.wiring import authentication

WRONG = 24


async def test_a_good_token(module, clock):
    """Its subject, scopes and end are told; what is no scope of ours is left out."""
    kid, key = await module.keys.signing()
    token = jwt.encode(claims(clock, scope="read fly"), key, "ES256", headers={"typ": "at+jwt", "kid": kid})
    subject = await module.validate_token(token)

    assert ("client-1", "client-1", {"read"}, ISSUER) == (
        subject.id,
        subject.client_id,
        subject.scopes,
        subject.issuer,
    )
    assert clock() + 900 * SECOND == subject.expires_at


async def test_every_wrong_token_is_refused(module, clock):
    """Each with an error that says what is wrong and tells nothing of the token."""
    wrong = await wrong_tokens(module, clock)
    for name, token in wrong.items():
        with pytest.raises(InvalidToken) as caught:
            await module.validate_token(token)
        assert (name == "expired") == isinstance(caught.value, TokenExpired), name
        assert not token or token not in str(caught.value)
    assert WRONG == len(wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(max_size=200))
async def test_noise_is_refused(module, text):
    """With an error of ours, whatever it is."""
    with pytest.raises(InvalidToken):
        await module.validate_token(text)


async def test_the_end_and_the_leeway(module, clock):
    """A token ends when it says, but for the difference of two clocks."""
    _, secret = await module.create_client("bot", ["read"])
    client = (await module._accounts.all())[0]
    token = (await module.login("client", client.id, secret)).text
    clock.later(15 * 60 + 29)
    await module.validate_token(token)
    clock.later(2)
    with pytest.raises(TokenExpired):
        await module.validate_token(token)


async def test_revoking_shows_in_seconds(database, module, clock, hashes):
    """Of a token and of a client, also where another process did it."""
    other = authentication(database, clock, issuer=ISSUER, hashes=hashes)
    client, secret = await module.create_client("bot", ["read"])
    first, second = [(await module.login("client", client.id, secret)).text for _ in range(2)]
    await other.revoke_token(await other.validate_token(first))
    with pytest.raises(InvalidToken, match="revoked"):
        await other.validate_token(first)
    await module.validate_token(second)
    clock.later(6)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(first)
    await other.revoke(client.id)
    clock.later(6)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(second)
