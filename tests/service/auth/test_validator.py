"""Who is let in with which token."""

from __future__ import annotations

import json

import jwt
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from chandlery.core.errors import InvalidToken, TokenExpired
from chandlery.core.time import SECOND
from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.auth.monotonic_clock import MonotonicClock
from chandlery.service.auth.wiring import authentication
from fixtures.service_accounts import ISSUER, SetClock, claims, encoded, wrong_tokens

WRONG = 38


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
        assert len(str(caught.value).encode()) < 300
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


_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
_VALUES = st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | _TEXT | st.lists(_TEXT, max_size=3) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)  # fmt: skip
_CLAIMS = ("iss", "aud", "sub", "client_id", "azp", "iat", "exp", "nbf", "jti", "scope", "scp", "x")
_HEAD = ("alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "zip", "cty")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(_CLAIMS), _VALUES), st.dictionaries(st.sampled_from(_HEAD), _VALUES), st.booleans()
)
async def test_any_claims_and_heads(module, clock, changed, head, signed):
    """With a good signature or none: a subject, or an error of ours."""
    kid, key = await module.keys.signing()
    content = {**claims(clock), **changed}
    if signed:
        try:
            token = jwt.api_jws.encode(
                json.dumps(content).encode(), key, "ES256", headers={"typ": "at+jwt", "kid": kid}
            )
        except ValueError:
            reject()  # too many digits to be written
    else:
        token = f"{encoded({'typ': 'at+jwt', 'alg': 'ES256', 'kid': kid, **head})}.{encoded(content)}.AAAA"
    try:
        subject = await module.validate_token(token)
    except InvalidToken as error:
        str(error).encode()
        return
    assert signed
    json.dumps(sorted([subject.id, subject.client_id, subject.token_id, *subject.scopes])).encode()
    await module.revoke_token(subject)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(token)


async def test_revoking_shows_within_a_second(database, module, clock, hashes):
    """Of a token and of a client, also where another process did it."""
    other = authentication(database, clock, issuer=ISSUER, hashes=hashes)
    client, secret = await module.create_client("bot", ["read"])
    first, second = [(await module.login("client", client.id, secret)).text for _ in range(2)]
    await other.revoke_token(await other.validate_token(first))
    with pytest.raises(InvalidToken, match="revoked"):
        await other.validate_token(first)
    await module.validate_token(second)
    clock.later(0.6)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(first)
    await other.revoke(client.id)
    clock.later(0.6)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(second)


async def test_a_revoked_token_stays_so_until_its_last_second(module, clock):
    """In the leeway after its end, too."""
    client, secret = await module.create_client("bot", ["read"])
    token = (await module.login("client", client.id, secret)).text
    await module.revoke_token(await module.validate_token(token))
    for _ in range(31):
        clock.later(30)
        with pytest.raises(InvalidToken) as caught:
            await module.validate_token(token)
    assert isinstance(caught.value, TokenExpired)


class Counting(SqliteDatabase):
    """A database that counts what it is asked."""

    reads = 0

    async def read(self, sql, parameters=()):
        """The same, counted."""
        self.reads += 1
        return await super().read(sql, parameters)


async def test_a_request_costs_no_question_to_the_database(tmp_path, clock, hashes):
    """The database is asked every 0.3 s, for one row, whatever the number of requests; also by keys that there are not."""
    async with Counting(tmp_path / "d") as database:
        module = authentication(database, clock, issuer=ISSUER, hashes=hashes)
        client, secret = await module.create_client("bot", ["read"])
        token = (await module.login("client", client.id, secret)).text
        unknown = (await wrong_tokens(module, clock))["unknown key"]
        await module.validate_token(token)
        begun = database.reads
        for _ in range(100):
            await module.validate_token(token)
            with pytest.raises(InvalidToken):
                await module.validate_token(unknown)
        assert begun == database.reads
        for _ in range(100):
            clock.later(0.1)
            await module.validate_token(token)
        assert 33 <= database.reads - begun <= 34


async def test_expired_stays_expired(database, hashes):
    """Also where the clock is set back, as long as the process lives; and a token of another issuer, too."""
    clock, ticks = SetClock(), [0.0]
    module = authentication(database, MonotonicClock(clock, lambda: ticks[0]), issuer=ISSUER, hashes=hashes)
    client, secret = await module.create_client("bot", ["read"])
    token = (await module.login("client", client.id, secret)).text
    clock.later(1000)
    with pytest.raises(TokenExpired):
        await module.validate_token(token)
    clock.later(-990)
    with pytest.raises(TokenExpired):
        await module.validate_token(token)

    young = (await module.login("client", client.id, secret)).text
    clock.later(-500)
    ticks[0] += 800
    await module.validate_token(young)
    ticks[0] += 200
    with pytest.raises(TokenExpired):
        await module.validate_token(young)
