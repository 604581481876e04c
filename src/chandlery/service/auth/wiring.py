"""The parts of authentication, put together over a database."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from chandlery.core.time import Clock
from chandlery.database.interfaces import IDatabaseConnection
from chandlery.database.principals import PrincipalRepository
from chandlery.net.http import HttpClient
from chandlery.service.auth.hashing import Secrets
from chandlery.service.auth.issuers import Issuer, IssuerKeys, key_client
from chandlery.service.auth.keys import KeyRing
from chandlery.service.auth.service import AuthenticationModuleImpl
from chandlery.service.auth.validator import Revoked, TokenValidator

MCP_PATH = "/mcp"


def authentication(
    database: IDatabaseConnection,
    clock: Clock,
    *,
    issuer: str,
    issuers: Sequence[Issuer] = (),
    http: HttpClient | None = None,
    hashes: Secrets | None = None,
) -> AuthenticationModuleImpl:
    """
    ``issuer`` is the service's public URL; its tokens are for that, or for its MCP endpoint alone.

    ``http`` is what the keys of ``issuers`` are fetched with, as ``key_client`` makes it.

    Raises:
        InvalidInput: One of the ``issuers`` is this service itself, or named twice.
    """
    accounts = PrincipalRepository(database)
    keys = KeyRing(accounts, clock, lambda: secrets.token_hex(8))
    revoked = Revoked(accounts, clock)
    client = http or key_client()
    validator = TokenValidator(
        keys,
        revoked,
        clock,
        issuer=issuer,
        audiences=(issuer, f"{issuer}{MCP_PATH}"),
        others=[IssuerKeys(each, client, clock) for each in issuers],
    )
    return AuthenticationModuleImpl(accounts, keys, validator, revoked, clock, hashes=hashes)
