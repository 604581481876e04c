"""Construction of the authentication module."""

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
    Build the authentication module; ``issuer`` is the service's public URL and the audience of its tokens.

    A token may also be for the MCP endpoint alone. ``http`` fetches the keys of ``issuers``, as ``key_client`` creates
    it.

    Raises:
        InvalidInput: An issuer is this service itself, or occurs twice.
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
