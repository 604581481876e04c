"""A service's accounts for tests: quick hashes, a clock that is set, tokens of every wrong kind."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pwdlib.hashers.argon2 import Argon2Hasher

from chandlery.core.time import SECOND
from chandlery.service.auth.hashing import Secrets

ISSUER = "http://127.0.0.1:8700"
THEIRS = "https://login.example"
NOW = 1_700_000_000 * SECOND


class SetClock:
    """Says what it was set to."""

    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now

    def later(self, seconds):
        """Move on."""
        self.now += int(seconds * SECOND)


def quick_hashes():
    """argon2 with the least work, since hundreds are made here."""
    return Secrets(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))


def claims(clock, issuer=ISSUER, **changed):
    """What a good token of ours says, but for what is changed; ``None`` leaves out."""
    now = clock() // SECOND
    good = {
        "iss": issuer,
        "aud": issuer,
        "sub": "client-1",
        "client_id": "client-1",
        "iat": now,
        "exp": now + 900,
        "jti": "t1",
        "scope": "read",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


class Provider:
    """Another issuer: publishes its keys, and counts how often it is asked."""

    def __init__(self):
        self.keys = {"r1": rsa.generate_private_key(65537, 2048), "e1": ec.generate_private_key(ec.SECP256R1())}
        self.asked = 0
        self.status = 200
        self.body = self.redirect = None
        self.hanging = asyncio.Event()
        """Answers wait until it is set."""
        self.hanging.set()

    async def answer(self, request):
        """The key set, or what was set to be sent in its place."""
        self.asked += 1
        await self.hanging.wait()
        if self.redirect is not None:
            return web.Response(status=302, headers={"Location": self.redirect})
        if self.body is not None:
            return web.Response(body=self.body)
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


@asynccontextmanager
async def login_server():
    """A running issuer, whose keys are at ``url``."""
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield provider
    await runner.cleanup()


def encoded(content):
    """A part of a token."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


async def wrong_tokens(module, clock, issuer=ISSUER):
    """Tokens that must be let in nowhere, by what is wrong with them."""
    kid, key = await module.keys.signing()
    head = {"typ": "at+jwt", "kid": kid}

    def signed(head=head, key=key, algorithm="ES256", **changed):
        return jwt.encode(claims(clock, issuer, **changed), key, algorithm, headers=head)

    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = signed()
    header, body, signature = good.split(".")
    forged = f"{encoded({'typ': 'at+jwt', 'alg': 'HS256', 'kid': kid})}.{encoded(claims(clock, issuer, scope='admin'))}"
    by_public = base64.urlsafe_b64encode(hmac.new(public, forged.encode(), hashlib.sha256).digest()).rstrip(b"=")
    surrogate = {**head, "alg": "ES256", "crit": ["\ud800"]}
    digits = b'{"exp": ' + b"9" * 5000 + b"}"
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    return {
        "none": "",
        "noise": "abc",
        "three parts of noise": "a.b.c",
        "too long": "a" * 10_000,
        "algorithm none": f"{encoded({'typ': 'at+jwt', 'alg': 'none', 'kid': kid})}.{encoded(claims(clock, issuer))}.",
        "signed with the public key": f"{forged}.{by_public.decode()}",
        "content tampered with": f"{header}.{encoded(claims(clock, issuer, scope='admin'))}.{signature}",
        "signature tampered with": f"{header}.{body}.{flipped}",
        "no signature": f"{header}.{body}.",
        "another key": signed(key=ec.generate_private_key(ec.SECP256R1())),
        "unknown key": signed(head={"typ": "at+jwt", "kid": "who"}),
        "no key named": signed(head={"typ": "at+jwt"}),
        "another type": signed(head={"typ": "JWT", "kid": kid}),
        "expired": signed(iat=clock() // SECOND - 2000, exp=clock() // SECOND - 1000),
        "not valid yet": signed(nbf=clock() // SECOND + 1000),
        "issued tomorrow": signed(iat=clock() // SECOND + 86_400),
        "wrong audience": signed(aud="http://elsewhere"),
        "no audience": signed(aud=None),
        "wrong issuer": signed(iss="http://elsewhere"),
        "no issuer": signed(iss=None),
        "no end": signed(exp=None),
        "an end that is no number": signed(exp="tomorrow"),
        "an end of 400 digits": signed(exp=10**400),
        "an end after the year 9999": signed(exp=1e300),
        "an end before 1970": signed(exp=-1),
        "issued at no number": signed(iat=float("nan")),
        "valid from a truth": signed(nbf=True),
        "no subject": signed(sub=None),
        "a subject that is no Unicode": signed(sub="\ud800"),
        "a critical header that is no Unicode": f"{encoded(surrogate)}.{body}.{signature}",
        "a critical header": signed(head={**head, "crit": ["exp"], "exp": 1}),
        "a payload that is no object": jwt.api_jws.encode(b"[1]", key, "ES256", headers=head),
        "a head that is no object": f"{encoded([1])}.{body}.{signature}",
        "an algorithm that is no text": f"{encoded({**head, 'alg': ['ES256']})}.{body}.{signature}",
        "a key that is no text": f"{encoded({**head, 'alg': 'ES256', 'kid': {}})}.{body}.{signature}",
        "a number of very many digits": f"{header}.{encoded(digits)}.{signature}",
        "very deep": f"{header}.{encoded(b'[' * 5000)}.{signature}",
        "scopes that are no text": signed(scope={"admin": True}),
    }
