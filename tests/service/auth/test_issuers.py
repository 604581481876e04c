"""Tokens of other issuers."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from accounts import ISSUER, THEIRS, claims, login_server
from chandlery.core.errors import InvalidInput, InvalidToken
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.service.auth.issuers import Issuer
from chandlery.service.auth.wiring import authentication


@pytest.fixture
async def provider():
    """A running one."""
    async with login_server() as running:
        yield running


@pytest.fixture
async def module(database, clock, hashes, provider, tmp_path):
    """A service that trusts it."""
    issuer = Issuer(THEIRS, provider.url, "chandlery", {"market.read": ["read"], "market.all": ["read", "collect"]})
    async with HttpClient(limiter=RateLimiter(tmp_path / "limits"), retry_count=0) as http:
        yield authentication(database, clock, issuer=ISSUER, issuers=[issuer], http=http, hashes=hashes)


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
    with pytest.raises(InvalidToken, match="cannot be had now"):
        await module.validate_token(provider.token(clock))
    provider.status = 200
    clock.later(31)
    await module.validate_token(provider.token(clock))
    provider.status = 500
    clock.later(700)
    await module.validate_token(provider.token(clock))


@pytest.mark.parametrize(
    "wrong",
    [{"algorithms": ("none",)}, {"algorithms": ("HS256",)}, {"algorithms": ()}, {"scopes": {"x": ["fly"]}}],
)
def test_a_dangerous_configuration_is_refused(wrong):
    """Before anything is served."""
    with pytest.raises(InvalidInput):
        Issuer(**{"issuer": THEIRS, "jwks_url": "http://x", "audience": "a", "scopes": {}} | wrong)
