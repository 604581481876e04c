"""Token endpoints, and the metadata by which clients discover them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeAlias
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import JSONResponse, Response

from chandlery.core.errors import InvalidInput, InvalidToken, LoginFailed, TooManyLogins
from chandlery.core.time import SECOND
from chandlery.service.addresses import address_of
from chandlery.service.auth.interfaces import SCOPES
from chandlery.service.auth.schemas import KeySet, Login, ResourceMetadata, ServerMetadata, TokenError, TokenResponse
from chandlery.service.auth.service import AuthenticationModuleImpl
from chandlery.service.auth.wiring import MCP_PATH
from chandlery.service.errors import refusals

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
FORMS = ("/token", "/revoke")
"""Endpoints that take form bodies."""


routes = APIRouter(tags=["login"])
"""Routes that need no token."""


async def _accounts(request: Request) -> AuthenticationModuleImpl:
    module: AuthenticationModuleImpl = request.app.state.accounts
    return module


Accounts: TypeAlias = Annotated[AuthenticationModuleImpl, Depends(_accounts)]


@routes.post(
    "/token",
    response_model=TokenResponse,
    responses={**refusals(408, 413, 415, 422, 503), **{status: {"model": TokenError} for status in (400, 401, 429)}},
    summary="Get a token",
)
async def token(request: Request, module: Accounts, login: Annotated[Login, Form()]) -> Response:
    """Issue a token to a client (id and secret here, or by HTTP Basic) or a user (name and password)."""
    try:
        kind, name, secret = _credentials(request, login)
        if not name or not secret:
            return _refused(400, "invalid_request", "name and secret are required")
        address = address_of(request.scope, request.app.state.trusted_proxies)
        given = await module.login(kind, name, secret, scope=login.scope, resource=login.resource, address=address)
    except TooManyLogins as error:
        return _refused(429, "slow_down", str(error), {"Retry-After": f"{error.retry_after_s:.0f}"})
    except LoginFailed as error:
        if login.grant_type == "password":
            return _refused(400, "invalid_grant", str(error))
        return _refused(401, "invalid_client", str(error), {"WWW-Authenticate": 'Basic realm="chandlery"'})
    except InvalidInput as error:
        code, _, detail = str(error).partition(": ")
        return _refused(400, code, detail)
    answer = {
        "access_token": given.text,
        "token_type": "Bearer",
        "expires_in": given.lifetime // SECOND,
        "scope": " ".join(given.scopes),
    }
    return JSONResponse(answer, headers=_NO_STORE)


@routes.post("/revoke", summary="Revoke a token", responses=refusals(400, 408, 413, 415, 422, 503))
async def revoke(module: Accounts, token: Annotated[str, Form(min_length=1)]) -> None:
    """Revoke a token (RFC 7009); idempotent, and an invalid token is not an error."""
    try:
        subject = await module.validate_token(token)
    except InvalidToken:
        return
    await module.revoke_token(subject)


@routes.get("/authorize", include_in_schema=False)
async def authorize() -> Response:
    """Answer clients that expect a browser login with an OAuth error."""
    return _refused(400, "unsupported_response_type", "browser login is not supported; get tokens from /token")


@routes.get("/.well-known/oauth-authorization-server")
async def server_metadata(module: Accounts) -> ServerMetadata:
    """Return the metadata of the authorization server (RFC 8414)."""
    base = module.validator.issuer
    return ServerMetadata(
        issuer=base,
        authorization_endpoint=f"{base}/authorize",
        token_endpoint=f"{base}/token",
        jwks_uri=f"{base}/.well-known/jwks.json",
        revocation_endpoint=f"{base}/revoke",
        scopes_supported=list(SCOPES),
        response_types_supported=["none"],
        grant_types_supported=["client_credentials", "password"],
        token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
        service_documentation=f"{base}/docs",
    )


@routes.get(RESOURCE_METADATA)
async def resource_metadata(module: Accounts) -> ResourceMetadata:
    """Return the metadata of the protected resource: the issuers that it trusts (RFC 9728)."""
    return _metadata(module.validator.issuer, "")


@routes.get(f"{RESOURCE_METADATA}{MCP_PATH}")
async def mcp_metadata(module: Accounts) -> ResourceMetadata:
    """Return the metadata of the MCP endpoint (RFC 9728)."""
    return _metadata(module.validator.issuer, MCP_PATH)


@routes.get("/.well-known/jwks.json", response_model=KeySet)
async def key_set(module: Accounts) -> Response:
    """Return the public keys of tokens: the signing key, the next one, and former ones that are still trusted."""
    return JSONResponse(await module.keys.published(), headers={"Cache-Control": "public, max-age=300"})


def _metadata(base: str, path: str) -> ResourceMetadata:
    return ResourceMetadata(
        resource=f"{base}{path}",
        authorization_servers=[base],
        jwks_uri=f"{base}/.well-known/jwks.json",
        scopes_supported=list(SCOPES),
        bearer_methods_supported=["header"],
        resource_name="chandlery",
    )


def _credentials(request: Request, login: Login) -> tuple[str, str, str]:
    """Return the kind, name and secret of a login; a client may send them by HTTP Basic (RFC 6749 2.3.1)."""
    if login.grant_type == "password":
        return "user", login.username, login.password
    if login.grant_type != "client_credentials":
        raise InvalidInput("unsupported_grant_type: use client_credentials or password")
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return "client", login.client_id, login.client_secret
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise LoginFailed("the Authorization header is not HTTP Basic") from None
    return "client", unquote(name), unquote(secret)


def _refused(status: int, code: str, description: str, headers: dict[str, str] | None = None) -> Response:
    content = TokenError(error=code, error_description=description)
    return JSONResponse(content.model_dump(), status, headers={**_NO_STORE, **(headers or {})})
