"""Access tokens against a server that hands them out and refuses them on demand."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec import structs

from chandlery.core.errors import ExchangeUnavailable, InvalidInput, MalformedResponse, RequestRejected
from chandlery.core.http import AccessToken, Request
from chandlery.net.tokens import Account, Accounts
from chandlery.testing import no_waiting

SECRET = "very-secret"


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Issuer:
    """An exchange whose tokens live for 1000 seconds; its answers are ``<token> [<new refresh token>]``."""

    id = "acme"
    credentials = ("key", "refresh")
    more_credentials = ("secret",)

    def __init__(self, server):
        self._server = server

    def token_request(self, credentials):
        return self._server.request("/token", method="POST", body="&".join(credentials.values()).encode())

    def token(self, body):
        text, *more = body.decode().split()
        if text == "nothing":
            raise MalformedResponse("acme sent no access token")
        return AccessToken(text, 1000.0, {"refresh": more[0]} if more else {})

    def authorized(self, request: Request, token: str) -> Request:
        return structs.replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})


@pytest.fixture
def ticks():
    return Ticks()


@pytest.fixture
def account(server, client, ticks):
    return Account(client, Issuer(server), {"key": "k", "refresh": SECRET}, ticks=ticks)


def asked(server):
    """What has come: ``token`` and what it was asked with, or the token that a request had."""
    found = []
    for head in server.heads:
        bearer = re.search(r"Authorization: Bearer (\S+)", head)
        found.append(bearer[1] if bearer else "token " + head.rsplit("\r\n", 1)[-1])
    return found


async def test_a_token_is_fetched_once_for_all_who_ask(server, account):
    """The first to ask fetches it, the others wait for it."""
    server.script = [server.reply(body=b"one")]

    await asyncio.gather(*(account.send(server.request()) for _ in range(20)))

    assert [f"token k&{SECRET}", *["one"] * 20] == asked(server)
    assert 1 == account.renewals


async def test_a_token_is_renewed_before_it_expires(server, account, ticks):
    """A minute before its end, as a request takes a while; not earlier."""
    server.script = [server.reply(body=b"one"), server.reply(), server.reply(), server.reply(body=b"two")]

    await account.send(server.request())
    ticks.now += 939
    await account.send(server.request())
    ticks.now += 1
    await account.send(server.request())

    assert [f"token k&{SECRET}", "one", "one", f"token k&{SECRET}", "two"] == asked(server)


async def test_a_refused_token_is_renewed_once(server, account):
    """A 401 is answered with a new token; a second one is the caller's."""
    refusal = server.reply(401)
    server.script = [server.reply(body=b"one"), refusal, server.reply(body=b"two"), server.reply(body=b"fine")]
    assert b"fine" == (await account.send(server.request())).body

    server.script = [refusal, server.reply(body=b"three"), refusal]
    with pytest.raises(RequestRejected, match="status 401"):
        await account.fetch(server.request(), bytes.decode)

    assert ["one", "two", "two", "three"] == [each for each in asked(server) if not each.startswith("token")]


async def test_other_refusals_have_nothing_to_do_with_the_token(server, account):
    """They are the caller's at once."""
    server.script = [server.reply(body=b"one"), server.reply(403)]

    with pytest.raises(RequestRejected, match="status 403"):
        await account.send(server.request())
    assert 1 == account.renewals


async def test_many_refusals_of_one_token_fetch_one(server, account):
    """Those who are refused after it was renewed use the new one."""
    server.script = [server.reply(body=b"one"), *[server.reply(401)] * 3, server.reply(body=b"two")]
    signed = await account.signed(server.request())
    await asyncio.gather(*(account.send(server.request()) for _ in range(3)))
    account.refused(server.request(), signed)
    await account.send(server.request())

    assert 2 == account.renewals
    assert {"one", "two"} == {each for each in asked(server) if not each.startswith("token")}


async def test_credentials_that_are_renewed_take_the_place_of_the_old(server, account, ticks):
    """Some refresh tokens are good for one use."""
    server.script = [server.reply(body=b"one next"), server.reply(), server.reply(body=b"two")]
    await account.send(server.request())
    ticks.now += 1000
    await account.send(server.request())

    assert [f"token k&{SECRET}", "one", "token k&next", "two"] == asked(server)


@pytest.mark.parametrize("said", [SECRET.encode(), b'{"error_description":"very-secret is wrong"}'])
async def test_who_is_refused_is_told_which_credentials_to_check(server, account, said):
    """Their names and the status, and nothing of what the server says."""
    server.otherwise = server.reply(403, body=said)

    with pytest.raises(RequestRejected) as caught:
        await account.send(server.request())

    assert "acme returned no access token (status 403); check key, refresh" == str(caught.value)
    assert SECRET not in repr(caught.value.__dict__) + repr(account) + repr(account.signed)


async def test_a_sign_in_that_fails_for_a_moment_is_tried_again(server, account):
    """As any request; and it may go wrong for good."""
    server.script = [server.reply(503), server.reply(body=b"nothing"), server.reply(body=b"one")]
    with no_waiting():
        await account.send(server.request())
        assert ["one"] == [each for each in asked(server) if not each.startswith("token")]

    other = Account(account._http, Issuer(server), {"key": "k", "refresh": SECRET})
    server.otherwise = server.reply(503)
    with no_waiting(), pytest.raises(ExchangeUnavailable, match="status 503"):
        await other.send(server.request())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, r"missing: key, refresh"),
        ({"key": "k"}, r"missing: refresh"),
        ({"key": "k", "refresh": ""}, r"missing: refresh"),
        ({"key": "k", "refresh": SECRET, "pin": SECRET}, r"not known: pin"),
        ({"key": "k", "refresh": 7}, r"not text: refresh"),
    ],
)
def test_credentials_that_cannot_do_are_refused_at_once(server_less, given, says):
    """With their names, and how to pass the right ones; a value is never shown."""
    accounts = Accounts(server_less, None if given is None else {"acme": given})

    with pytest.raises(InvalidInput, match=says) as caught:
        accounts.client(Issuer(None))

    assert 'pass credentials={"acme": {"key": "…", "refresh": "…", "secret": "…"}}' in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.fixture
def server_less(client_of):
    return client_of()


async def test_all_who_ask_share_an_account(server, client):
    """One for each exchange that needs one; the others have the client itself."""
    accounts = Accounts(client, {"acme": {"key": "k", "refresh": SECRET}})
    issuer = Issuer(server)
    free = Issuer(server)
    free.credentials = ()

    assert accounts.client(issuer) is accounts.client(Issuer(server))
    assert accounts.client(free) is client
    assert SECRET not in repr(accounts) + repr(issuer.token_request({"key": SECRET}))
    assert SECRET not in repr(AccessToken(SECRET, 5))
    await accounts.client(issuer).close()
