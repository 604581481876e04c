"""Who calls an endpoint: a parameter of its signature says which scope it takes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from chandlery.service.auth.interfaces import ADMIN, COLLECT, READ, SCOPES, IAuthenticationModule, Subject

PLACE = "chandlery.place"
"""Where the server puts the place of a connection into the scope of its requests; ``trust`` is what it does for clients that are known."""
_BEARER = OAuth2PasswordBearer(tokenUrl="token", scopes=SCOPES, auto_error=False, description="A token of POST /token.")


def module_of(connection: HTTPConnection) -> IAuthenticationModule:
    """The application's judge of tokens."""
    module: IAuthenticationModule = connection.app.state.authentication
    return module


def vouch(scope: Scope) -> None:
    """Tell the server that the client of a request has shown a token that is to be trusted."""
    place = scope.get("extensions", {}).get(PLACE)
    if place is not None:
        place.trust()


async def get_current_user(
    request: Request, needed: SecurityScopes, token: Annotated[str | None, Depends(_BEARER)]
) -> Subject:
    """
    Who calls, where the token allows all scopes that are needed.

    Raises:
        InvalidToken: There is no token that is to be trusted.
        InsufficientScope: It does not allow that.
    """
    subject = await module_of(request).validate_token(token)
    vouch(request.scope)
    for scope in needed.scopes:
        subject.require(scope)
    return subject


Reader: TypeAlias = Annotated[Subject, Security(get_current_user, scopes=[READ])]
Collector: TypeAlias = Annotated[Subject, Security(get_current_user, scopes=[COLLECT])]
Admin: TypeAlias = Annotated[Subject, Security(get_current_user, scopes=[ADMIN])]
