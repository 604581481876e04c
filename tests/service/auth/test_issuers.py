"""Tokens of other issuers."""

from __future__ import annotations

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from accounts import ISSUER, claims
from chandlery.core.errors import InvalidInput, InvalidToken
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.service.auth.issuers import Issuer
from chandlery.service.auth.wiring import authentication

THEIRS = "https://login.example"


class Provider:
    """Publishes keys, and counts how often it is asked."""

    def __init__(self):
        self.keys = {"r1": rsa.generate_private_key(65537, 2048), "e1": ec.generate_private_key(ec.SECP256R1())}
        self.asked = 0
        self.status = 200

    async def answer(self, request):
        """The key set."""
        self.asked += 1
        found = [
            {**(RSAAlgorithm if kid[0] == "r" else ECAlgorithm).to_jwk(key.public_key(), as_dict=True), "kid": kid}
            for kid, key in self.keys.items()
        ]
        return web.json_response({"keys": found}, status=self.status)

    def token(self, clock, kid="r1", algorithm="RS256", **changed):
        """One that it has signed."""
        theirs = {"aud": "chandlery", "scope": None, "scp": ["market.read", "mail"]}
        content = claims(clock, THEIRS, **theirs | changed)
        return jwt.encode(content, self.keys[kid], algorithm, headers={"kid": kid, "typ": "JWT"})


@pytest.fixture
async def provider():
    """A running one."""
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield provider
    await runner.cleanup()


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
