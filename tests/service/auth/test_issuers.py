"""Tokens of other issuers."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager

import jwt
import pytest
from cryptography.hazmat.primitives import hashes as hashes_of
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from chandlery.core.errors import InvalidInput, InvalidToken, MalformedResponse
from chandlery.net.limiter import RateLimiter
from chandlery.service.auth.issuers import Issuer, key_client, public_keys
from chandlery.service.auth.wiring import authentication
from fixtures.service_accounts import ISSUER, THEIRS, claims, encoded, login_server


@pytest.fixture
async def provider():
    """A running one."""
    async with login_server() as running:
        yield running


@asynccontextmanager
async def trusting(database, clock, hashes, provider, tmp_path):
    """A service that trusts it."""
    scopes = {"market.read": ["read"], "market.all": ["read", "collect"]}
    issuer = Issuer(THEIRS, provider.url, "chandlery", scopes)
    async with key_client(RateLimiter(tmp_path / "limits")) as http:
        yield authentication(database, clock, issuer=ISSUER, issuers=[issuer], http=http, hashes=hashes)


@pytest.fixture
async def module(database, clock, hashes, provider, tmp_path):
    """The same."""
    async with trusting(database, clock, hashes, provider, tmp_path) as accounts:
        yield accounts


async def test_its_tokens_are_good_here(module, clock, provider):
    """With the scopes that theirs mean; the keys are fetched once."""
    for kid, algorithm in (("r1", "RS256"), ("e1", "ES256")):
        subject = await module.validate_token(provider.token(clock, kid, algorithm))
        assert ({"read"}, THEIRS) == (subject.scopes, subject.issuer)
    assert 1 == provider.asked


async def test_its_wrong_tokens_are_not(module, clock, provider):
    """Another audience, another key, another algorithm, too old, and one in its name signed by us."""
    good = provider.token(clock)
    kid, key = await module.keys.signing()
    wrong = [
        provider.token(clock, aud="others"),
        provider.token(clock, iat=1, exp=2),
        provider.token(clock, algorithm="RS512"),
        provider.token(clock, exp=float("inf")),
        provider.token(clock, iat=float("nan")),
        good[:-4] + "AAAA",
        jwt.encode(claims(clock, THEIRS), key, "ES256", headers={"kid": kid, "typ": "at+jwt"}),
        jwt.encode(claims(clock), provider.keys["e1"], "ES256", headers={"kid": "e1", "typ": "at+jwt"}),
    ]
    for token in wrong:
        with pytest.raises(InvalidToken):
            await module.validate_token(token)


async def test_a_new_key_is_fetched_and_noise_does_not_storm(module, clock, provider):
    """An unknown key makes it ask again, but not more often than every half minute."""
    await module.validate_token(provider.token(clock))
    provider.keys["r2"] = rsa.generate_private_key(65537, 2048)
    for _ in range(5):
        with pytest.raises(InvalidToken, match="no key 'r2'"):
            await module.validate_token(provider.token(clock, "r2"))
    assert 1 == provider.asked
    clock.later(31)
    await module.validate_token(provider.token(clock, "r2"))
    assert 2 == provider.asked


async def test_an_issuer_that_is_down(module, clock, provider):
    """Keys that are known go on; unknown ones are refused, not let through."""
    provider.status = 500
    with pytest.raises(InvalidToken, match="cannot be fetched now"):
        await module.validate_token(provider.token(clock))
    provider.status = 200
    clock.later(31)
    await module.validate_token(provider.token(clock))
    provider.status = 500
    clock.later(700)
    await module.validate_token(provider.token(clock))


async def test_a_token_whose_key_is_of_another_kind(module, clock, provider):
    """An unsigned one that names the issuer's RSA key and an algorithm of other keys is no mistake of the service."""
    good = provider.token(clock)
    for kid, algorithms in (("r1", ("ES256",)), ("e1", ("RS256",))):
        for algorithm in algorithms:
            head = encoded({"alg": algorithm, "kid": kid, "typ": "JWT"})
            with pytest.raises(InvalidToken, match="is not one for"):
                await module.validate_token(f"{head}.{good.split('.')[1]}.AAAA")


async def test_keys_that_fit_no_algorithm(database, clock, hashes, provider, tmp_path):
    """Other curves and short keys are in sets, too; what is signed with them is refused."""
    provider.keys = {
        "e1": ec.generate_private_key(ec.SECP384R1()),
        "r1": rsa.generate_private_key(65537, 1024),
        "r2": rsa.generate_private_key(65537, 2048),
    }
    async with trusting(database, clock, hashes, provider, tmp_path) as module:
        assert {"read"} == (await module.validate_token(provider.token(clock, "r2"))).scopes
        for kid, algorithm in (("e1", "ES256"), ("r1", "RS256")):
            head = encoded({"alg": algorithm, "kid": kid, "typ": "JWT"})
            with pytest.raises(InvalidToken, match="is not one for"):
                await module.validate_token(f"{head}.{encoded(claims(clock, THEIRS))}.AAAA")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["keys", "kid", "kty", "n", "e", "x", "y", "crv", "use", "k", "alg"]), inner, max_size=6),
    )
)  # fmt: skip
def test_key_sets_of_any_kind(content):
    """Are keys, or an error of ours; never another one."""
    for body in (json.dumps(content).encode(), json.dumps({"keys": [content]}).encode()):
        try:
            found = public_keys(body)
        except MalformedResponse:
            continue
        assert isinstance(found, dict)


def test_secrets_and_keys_for_other_uses_are_no_public_keys():
    """A set may hold them; nothing is judged by them."""
    key = rsa.generate_private_key(65537, 2048)
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    listed = [
        {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "private"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {**public, "kid": "encrypts", "use": "enc"},
        {**public, "kid": "signs", "use": "sig"},
        {**public, "kid": "says nothing"},
        public,
        {**public, "kid": 7},
    ]
    assert ["signs", "says nothing"] == list(public_keys(json.dumps({"keys": listed}).encode()))
    with pytest.raises(MalformedResponse, match="at most 100"):
        public_keys(json.dumps({"keys": listed * 20}).encode())


async def test_a_token_of_theirs_is_given_back(module, clock, provider):
    """By its id; where it has none, by what is signed: another signature of the same content is the same token."""
    token = provider.token(clock, jti="j1")
    nameless = provider.token(clock, "e1", "ES256", jti=None)
    content = nameless.rpartition(".")[0]
    again = provider.keys["e1"].sign(content.encode(), ec.ECDSA(hashes_of.SHA256()))
    r, s = decode_dss_signature(again)
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    for back, same in ((token, token), (nameless, f"{content}.{signature}")):
        await module.revoke_token(await module.validate_token(back))
        for each in (back, same):
            with pytest.raises(InvalidToken, match="revoked"):
                await module.validate_token(each)
    await module.validate_token(provider.token(clock, jti="j2"))
    await module.validate_token(provider.token(clock, "e1", "ES256", jti=None, scp=["mail"]))


async def test_a_token_is_revoked_by_who_cannot_judge_it(database, module, clock, hashes, provider):
    """The command line knows neither our URL nor their keys; what is no token it refuses."""
    client, secret = await module.create_client("bot", ["read"])
    ours = (await module.login("client", client.id, secret)).text
    elsewhere = authentication(database, clock, issuer="", hashes=hashes)
    for token in (ours, provider.token(clock), provider.token(clock, jti=None)):
        subject = await module.validate_token(token)
        assert subject.token_id == await elsewhere.revoke_unjudged(token)
        clock.later(0.6)
        with pytest.raises(InvalidToken, match="revoked"):
            await module.validate_token(token)
    for wrong in (
        "noise",
        f"{encoded({'alg': 'ES256'})}.{encoded({'exp': 1})}.AAAA",
        provider.token(clock, exp=10**400),
    ):
        with pytest.raises(InvalidToken):
            await elsewhere.revoke_unjudged(wrong)


async def test_their_names_and_ids_are_not_ours(module, clock, provider):
    """Whatever an issuer writes into its tokens revokes none of ours, and none of ours theirs."""
    client, secret = await module.create_client("bot", ["read"])
    ours = (await module.login("client", client.id, secret)).text
    subject = await module.validate_token(ours)
    theirs = [
        provider.token(clock, jti=subject.token_id),
        provider.token(clock, jti=client.id),
        provider.token(clock, jti="x", sub=client.id, client_id=client.id),
    ]
    for token in theirs:
        await module.revoke_token(await module.validate_token(token))
    assert client.id == (await module.validate_token(ours)).id

    await module.revoke(client.id)
    with pytest.raises(InvalidToken, match="revoked"):
        await module.validate_token(ours)
    fresh = await module.validate_token(provider.token(clock, jti="y", sub=client.id, client_id=client.id))
    assert THEIRS == fresh.issuer


async def test_an_issuer_that_hangs_holds_up_nobody_else(module, clock, provider):
    """Our tokens are judged meanwhile, and its own where their key is known; it is asked once, and not for long."""
    client, secret = await module.create_client("bot", ["read"])
    ours = (await module.login("client", client.id, secret)).text
    known, unknown = provider.token(clock), None
    await module.validate_token(known)
    provider.keys["r2"] = rsa.generate_private_key(65537, 2048)
    unknown = provider.token(clock, "r2")
    clock.later(31)
    provider.hanging.clear()
    waiting = [asyncio.create_task(module.validate_token(unknown)) for _ in range(10)]
    async with asyncio.timeout(5):
        while provider.asked < 2:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        await module.validate_token(ours)
        await module.validate_token(known)
    assert not any(task.done() for task in waiting)
    provider.hanging.set()
    assert {"r2"} == {jwt.get_unverified_header(unknown)["kid"] for task in waiting if await task}
    assert 2 == provider.asked


async def test_an_issuer_that_never_answers(module, clock, provider, caplog):
    """Whoever waits for its keys is refused after five seconds, without its words, and nobody asks again at once."""
    provider.hanging.clear()
    began = time.monotonic()
    answers = await asyncio.gather(*(module.validate_token(provider.token(clock)) for _ in range(3)), return_exceptions=True)  # fmt: skip
    assert {f"the keys of {THEIRS} cannot be fetched now"} == {str(each) for each in answers}
    assert 4 < time.monotonic() - began < 8
    assert 1 == provider.asked == caplog.text.count("cannot be fetched now")
    with pytest.raises(InvalidToken, match="cannot be fetched now"):
        await module.validate_token(provider.token(clock))
    assert 1 == provider.asked
    provider.hanging.set()


@pytest.mark.parametrize("answer", ["redirect", "large", "noise"])
async def test_answers_that_are_no_keys(module, clock, provider, answer):
    """Neither a redirect is followed nor a large body read, and strangers learn nothing of it."""
    provider.body = {"large": b" " * (300 << 10), "noise": b"secret of another service"}.get(answer)
    provider.redirect = provider.url if answer == "redirect" else None
    with pytest.raises(InvalidToken) as caught:
        await module.validate_token(provider.token(clock))
    assert f"the keys of {THEIRS} cannot be fetched now" == str(caught.value)
    assert 1 == provider.asked


async def test_keys_that_their_issuer_names_no_more(module, clock, provider):
    """Are trusted for a day where it cannot be asked, and until it is asked the next time where it can."""
    old = provider.token(clock, exp=2**33)
    await module.validate_token(old)
    provider.status = 500
    for _ in range(3):
        clock.later(8 * 3600 - 60)
        await module.validate_token(old)
    clock.later(3600)
    with pytest.raises(InvalidToken, match="cannot be fetched now"):
        await module.validate_token(old)
    provider.status = 200
    clock.later(31)
    await module.validate_token(old)
    provider.keys = {"e1": provider.keys["e1"]}
    clock.later(601)
    with pytest.raises(InvalidToken, match="no key 'r1'"):
        await module.validate_token(old)


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ("none",)},
        {"algorithms": ("HS256",)},
        {"algorithms": ()},
        {"scopes": {"x": ["fly"]}},
        {"jwks_url": "http://login.example/keys"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "https://"},
        {"jwks_url": "http://[::1"},
        {"issuer": ""},
    ],
)
def test_a_dangerous_configuration_is_refused(wrong):
    """Before anything is served."""
    with pytest.raises(InvalidInput):
        Issuer(**{"issuer": THEIRS, "jwks_url": "https://x", "audience": "a", "scopes": {}} | wrong)


@pytest.mark.parametrize("issuers", [(ISSUER,), (THEIRS, THEIRS)])
async def test_an_issuer_is_no_other(database, clock, hashes, issuers):
    """Neither this service itself, whose accounts it could then make up, nor named twice."""
    with pytest.raises(InvalidInput, match="must be distinct"):
        authentication(
            database,
            clock,
            issuer=ISSUER,
            issuers=[Issuer(each, "https://x", "a", {}) for each in issuers],
            hashes=hashes,
        )
