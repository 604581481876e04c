"""Authentication of endpoints: a parameter of the signature declares the required scopes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from chandlery.core.errors import AccessDenied, ChandleryError
from chandlery.service.auth.interfaces import COLLECT, READ, SCOPES, IAuthenticationModule, Subject
from chandlery.service.errors import status_of

PLACE = "chandlery.place"
"""Key of the ASGI scope under which the server stores the connection's slot; ``trust`` marks it as authenticated."""
_BEARER = OAuth2PasswordBearer(tokenUrl="token", scopes=SCOPES, auto_error=False, description="A token of POST /token.")


def _module_of(connection: HTTPConnection) -> IAuthenticationModule:
    """Return the authentication module of the application."""
    module: IAuthenticationModule = connection.app.state.authentication
    return module


def vouch(scope: Scope) -> None:
    """Mark the connection of a request as authenticated."""
    place = scope.get("extensions", {}).get(PLACE)
    if place is not None:
        place.trust()


async def get_current_user(
    request: Request, needed: SecurityScopes, token: Annotated[str | None, Depends(_BEARER)]
) -> Subject:
    """
    Return the caller, after checking that the token allows all required scopes.

    Another FastAPI application sets ``app.state.authentication``, an ``IAuthenticationModule``. Without a handler of
    ``ChandleryError`` it gets an ``HTTPException`` with the status of the error.

    Raises:
        InvalidToken: The token is missing or invalid.
        InsufficientScope: The token lacks a scope.
    """
    try:
        subject = await _module_of(request).validate_token(token)
        vouch(request.scope)
        for scope in needed.scopes:
            subject.require(scope)
    except ChandleryError as error:
        if ChandleryError in request.app.exception_handlers:
            raise
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AccessDenied) else None
        raise HTTPException(status_of(error), str(error), headers) from error
    return subject


Reader: TypeAlias = Annotated[Subject, Security(get_current_user, scopes=[READ])]
Collector: TypeAlias = Annotated[Subject, Security(get_current_user, scopes=[COLLECT])]
