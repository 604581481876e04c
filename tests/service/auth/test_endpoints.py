"""Where tokens are had, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from typing import Annotated

import aiohttp
import jwt
import pytest
from fastapi import FastAPI, Security
from pwdlib.hashers.argon2 import Argon2Hasher

from chandlery.service import errors
from chandlery.service.addresses import networks
from chandlery.service.auth.endpoints import routes
from chandlery.service.auth.guard import Collector, Reader, get_current_user
from chandlery.service.auth.hashing import Secrets
from chandlery.service.auth.interfaces import ADMIN, Subject
from chandlery.service.auth.wiring import authentication
from chandlery.service.web.server import serving
from fixtures.service import bound_socket
from fixtures.service_accounts import wrong_tokens


@pytest.fixture
def site():
    """An application without endpoints."""
    return FastAPI()


@pytest.fixture
async def app(site, database, clock, hashes):
    """A client session of a small service, its base URL, and its accounts."""
    bound, url = bound_socket()
    module = authentication(database, clock, issuer=url, hashes=hashes)
    app = site
    app.state.accounts = app.state.authentication = module
    app.state.trusted_proxies = ()
    errors.install(app, f"{url}/.well-known/oauth-protected-resource")
    app.include_router(routes)

    @app.get("/read")
    async def read(subject: Reader) -> str:
        return subject.id

    @app.get("/collect")
    async def collect(subject: Collector) -> str:
        return subject.id

    @app.get("/admin")
    async def admin(subject: Annotated[Subject, Security(get_current_user, scopes=[ADMIN])]) -> str:
        return subject.id

    async with serving(app, bound), aiohttp.ClientSession(url) as session:
        yield session, url, module


def basic(name, secret):
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def post(session, headers=None, **form):
    """Status, content and headers of ``POST /token``."""
    async with session.post("/token", data=form, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def get(session, path, token=None):
    """Status, content and headers."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.get(path, headers=headers) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers


async def test_another_application_answers_with_the_status_of_the_error(app, database, clock, hashes):
    """It has only ``get_current_user``, and the authentication module."""
    _, _, module = app
    other = FastAPI()
    other.state.authentication = module

    @other.get("/read")
    async def read(subject: Reader) -> str:
        return subject.id

    bound, url = bound_socket()
    async with serving(other, bound), aiohttp.ClientSession(url) as session:
        status, content, headers = await get(session, "/read")
        assert (401, "Bearer") == (status, headers["WWW-Authenticate"])
        assert "a token is needed" in content["detail"]
        status, content, _ = await get(session, "/read", "nonsense")
        assert (401, ["detail"]) == (status, list(content))


async def test_every_grant(app):
    """A client by Basic or in the form, a user by name and password; the token is let in."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])
    await module.create_user("ada", "correct horse battery", ["read", "collect"])
    logins = [
        ({"grant_type": "client_credentials"}, basic(client.id, secret)),
        ({"grant_type": "client_credentials", "client_id": client.id, "client_secret": secret}, None),
        ({"grant_type": "password", "username": "ada", "password": "correct horse battery", "scope": "read"}, None),
    ]
    for form, headers in logins:
        status, content, answered = await post(session, headers, **form)
        assert (200, "Bearer", 900, "read") == (status, content["token_type"], content["expires_in"], content["scope"])
        assert "no-store" == answered["Cache-Control"]
        assert 200 == (await get(session, "/read", content["access_token"]))[0]


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({"grant_type": "implicit"}, None, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, None, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, {"Authorization": "Basic !!"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, basic("nobody", "x"), 401, "invalid_client"),
        ({"grant_type": "password", "username": "ada", "password": "x"}, None, 400, "invalid_grant"),
        ({"grant_type": "password"}, None, 400, "invalid_request"),
    ],
)
async def test_refused_logins(app, form, headers, status, error):
    """In the words of RFC 6749, and never kept by a cache."""
    found, content, answered = await post(app[0], headers, **form)

    assert (status, error) == (found, content["error"])
    assert "no-store" == answered["Cache-Control"]
    assert (status == 401) == ("WWW-Authenticate" in answered)


async def test_a_scope_or_resource_that_may_not_be(app):
    """Named, with what may be."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])
    for more, error in (({"scope": "admin"}, "invalid_scope"), ({"resource": "http://x"}, "invalid_target")):
        status, content, _ = await post(session, basic(client.id, secret), grant_type="client_credentials", **more)
        assert (400, error) == (status, content["error"])


async def test_too_many_failures(app):
    """429 with the pause, also for the right secret."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])
    for _ in range(5):
        await post(session, basic(client.id, "x"), grant_type="client_credentials")
    status, content, headers = await post(session, basic(client.id, secret), grant_type="client_credentials")

    assert (429, "slow_down", "2") == (status, content["error"], headers["Retry-After"])


async def test_guesses_in_parallel(app):
    """Five of them are judged, wherever the right one is among them; other accounts at the address log in."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])
    other, others_secret = await module.create_client("other", ["read"])
    guesses = [basic(client.id, secret if number == 30 else f"guess {number}") for number in range(60)]
    answers = await asyncio.gather(*(post(session, each, grant_type="client_credentials") for each in guesses))

    assert {401: 5, 429: 55} == Counter(status for status, _, _ in answers)
    assert 200 == (await post(session, basic(other.id, others_secret), grant_type="client_credentials"))[0]
    assert 429 == (await post(session, basic(client.id, secret), grant_type="client_credentials"))[0]


async def test_callers_behind_a_proxy(app, site):
    """Are distinguished by what a trusted proxy writes; what others write of themselves is not believed."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])

    async def log_in(secret, address):
        headers = {**basic(client.id, secret), "X-Forwarded-For": address}
        return (await post(session, headers, grant_type="client_credentials"))[0]

    assert [401] * 5 == [await log_in("wrong", f"192.0.2.{number}") for number in range(5)]
    assert 429 == await log_in(secret, "192.0.2.9")
    site.state.trusted_proxies = networks("127.0.0.1")
    assert 200 == await log_in(secret, "192.0.2.9")
    assert [401] * 5 == [await log_in("wrong", "192.0.2.7") for _ in range(5)]
    assert 429 == await log_in(secret, "192.0.2.7")
    assert 200 == await log_in(secret, "192.0.2.9")


async def test_too_many_at_once(app, site, database, clock):
    """503 with the time to wait: nobody is called wrong for that, and it counts for nothing."""
    session, url, module = app
    client, secret = await module.create_client("bot", ["read"])
    hashes = Secrets(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), most_waiting=1)
    site.state.accounts = authentication(database, clock, issuer=url, hashes=hashes)
    tries = (post(session, basic(client.id, secret), grant_type="client_credentials") for _ in range(30))
    answers = await asyncio.gather(*tries)

    assert {200, 503} == {status for status, _, _ in answers}
    for status, content, headers in answers:
        if status == 503:
            assert ("overloaded", True, "1") == (content["code"], content["retryable"], headers["Retry-After"])


async def test_metadata_lead_to_tokens(app):
    """From the challenge to the resource, from there to the server, from there to the keys."""
    session, url, module = app
    status, _, headers = await get(session, "/read")
    assert 401 == status
    assert f'Bearer resource_metadata="{url}/.well-known/oauth-protected-resource"' == headers["WWW-Authenticate"]
    for path in ("", "/mcp"):
        _, resource, _ = await get(session, f"/.well-known/oauth-protected-resource{path}")
        assert (f"{url}{path}", [url]) == (resource["resource"], resource["authorization_servers"])
    _, server, _ = await get(session, "/.well-known/oauth-authorization-server")
    assert (url, f"{url}/token") == (server["issuer"], server["token_endpoint"])
    status, content, _ = await get(session, server["authorization_endpoint"].removeprefix(url))
    assert (400, "unsupported_response_type") == (status, content["error"])
    _, found, _ = await get(session, server["jwks_uri"].removeprefix(url))
    assert 2 == len(found["keys"])
    client, secret = await module.create_client("bot", ["read"])
    _, content, _ = await post(
        session, basic(client.id, secret), grant_type="client_credentials", resource=f"{url}/mcp"
    )
    kid = jwt.get_unverified_header(content["access_token"])["kid"]
    key = jwt.PyJWKSet.from_dict(found)[kid].key
    options = {"verify_exp": False, "verify_iat": False}
    decoded = jwt.decode(content["access_token"], key, ["ES256"], options, audience=f"{url}/mcp")
    assert client.id == decoded["sub"]


async def test_wrong_tokens_and_scopes(app, clock):
    """401 with what is wrong, 403 with the scope that is needed, each as a problem document."""
    session, url, module = app
    for name, token in (await wrong_tokens(module, clock, url)).items():
        status, content, headers = await get(session, "/read", token)
        assert (401, 401) == (status, content["status"]), name
        assert headers["Content-Type"].startswith("application/problem+json")
        assert ("invalid_token" in headers["WWW-Authenticate"]) == (name != "none")
    client, secret = await module.create_client("bot", ["read"])
    token = (await module.login("client", client.id, secret)).text
    for path, scope in (("/collect", "collect"), ("/admin", "admin")):
        status, content, headers = await get(session, path, token)
        assert (403, "insufficient_scope") == (status, content["code"])
        assert f'scope="{scope}"' in headers["WWW-Authenticate"]


async def test_a_token_is_given_back(app):
    """It is not trusted any more; what never was is no mistake."""
    session, _, module = app
    client, secret = await module.create_client("bot", ["read"])
    token = (await module.login("client", client.id, secret)).text
    for given in (token, token, "noise"):
        async with session.post("/revoke", data={"token": given}) as answer:
            assert 200 == answer.status

    assert 401 == (await get(session, "/read", token))[0]


async def test_the_documents_page_can_log_in(app):
    """The scheme of OpenAPI names the address and the scopes."""
    _, document, _ = await get(app[0], "/openapi.json")
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]

    assert {"read", "collect", "admin"} == set(scheme["flows"]["password"]["scopes"])
    assert "token" == scheme["flows"]["password"]["tokenUrl"]
    assert [{"OAuth2PasswordBearer": ["collect"]}] == document["paths"]["/collect"]["get"]["security"]
    assert "security" not in document["paths"]["/token"]["post"]
