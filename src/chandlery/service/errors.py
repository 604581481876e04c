"""HTTP status and problem document (RFC 9457) of each error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from chandlery.core.errors import (
    AccessDenied,
    ChandleryError,
    Closed,
    ExchangeError,
    IncompleteData,
    InsufficientScope,
    InvalidInput,
    InvalidToken,
    Overloaded,
    RateLimited,
    RequestTimeout,
    StorageUnavailable,
    TooManyLogins,
    TooMuchAtOnce,
    UnknownName,
)

PROBLEM = "application/problem+json"

_STATUS: tuple[tuple[type[ChandleryError], int], ...] = (
    (InvalidToken, 401),
    (InsufficientScope, 403),
    (TooManyLogins, 429),
    (TooMuchAtOnce, 429),
    (AccessDenied, 401),
    (UnknownName, 404),
    (InvalidInput, 422),
    (RateLimited, 503),
    (RequestTimeout, 504),
    (ExchangeError, 502),
    (IncompleteData, 502),
    (StorageUnavailable, 503),
    (Overloaded, 503),
    (Closed, 503),
)
"""First matching class wins; any other error of ours is 500."""

_MEANINGS = {
    400: "The request is malformed.",
    401: "The token is missing or invalid.",
    403: "The token lacks the required scope.",
    404: "The name is unknown.",
    408: "The request was not received in time.",
    413: "The body is too large.",
    415: "The body is not a form.",
    422: "The request is invalid.",
    429: "Too many requests of the caller are running, or it has tried too often; see Retry-After.",
    502: "The exchange failed.",
    503: "Temporarily unavailable; a retry may succeed.",
    504: "The exchange did not answer in time.",
}


class ParameterError(BaseModel):
    """Invalid parameter of a request."""

    location: str = Field(examples=["query.limit"], description="Location in the request.")
    detail: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """Problem document (RFC 9457)."""

    type: str = Field(examples=["urn:chandlery:invalid_symbol"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["'?' is not a symbol of binance; write e.g. BTC/USDT"])
    code: str = Field(examples=["invalid_symbol"], description="Machine-readable code.")
    retryable: bool = Field(default=False, description="True if a retry may succeed.")
    errors: list[ParameterError] = Field(default=[], description="Each invalid parameter.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declaration of the problems that an endpoint may answer."""
    content = {PROBLEM: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


def status_of(error: ChandleryError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def code_of(error: ChandleryError) -> str:
    """Return the machine-readable code of an error, e.g. ``rate_limited``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Build a problem document."""
    return {"type": f"urn:chandlery:{code}", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code, **more}  # fmt: skip


def challenge(error: ChandleryError, metadata_url: str) -> str:
    """Return the ``WWW-Authenticate`` value, which links to the metadata on where to get tokens (RFC 9728)."""
    parts = [f'resource_metadata="{metadata_url}"']
    if isinstance(error, InsufficientScope):
        parts = ['error="insufficient_scope"', f'scope="{error.scope}"', *parts]
    elif not str(error).startswith("a token is needed"):
        parts = ['error="invalid_token"', f'error_description="{_quotable(str(error))}"', *parts]
    return "Bearer " + ", ".join(parts)


def _quotable(text: str) -> str:
    return re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "'", text)


def headers_of(error: ChandleryError, metadata_url: str) -> dict[str, str]:
    """Return the headers that tell the caller how to proceed."""
    if isinstance(error, InvalidToken | InsufficientScope):
        return {"WWW-Authenticate": challenge(error, metadata_url)}
    wait_s = getattr(error, "retry_after_s", None)
    return {} if wait_s is None else {"Retry-After": str(ceil(wait_s))}


def problem_response(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as a response."""
    return JSONResponse(dict(content), status, headers=dict(headers or {}), media_type=PROBLEM)


def answer_to(error: ChandleryError, metadata_url: str) -> Response:
    """Return the response to one of our errors."""
    status = status_of(error)
    retryable = {"retryable": True} if error.retryable else {}
    content = problem(status, code_of(error), str(error), **retryable)
    return problem_response(status, content, headers_of(error, metadata_url))


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return all methods of a documented path, which several routes may share."""
    path = getattr(request.scope.get("route"), "path", request.url.path)
    return [method.upper() for method in app.openapi()["paths"].get(path, ())]


def install(app: FastAPI, metadata_url: str) -> None:
    """Install handlers that answer every error of the application with a problem document."""

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, ChandleryError)  # noqa: S101  # registered for these
        return answer_to(error, metadata_url)

    async def wrong(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for these
        errors = [{"location": ".".join(map(str, each["loc"])), "detail": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['location']}: {each['detail']}" for each in errors)
        return problem_response(422, problem(422, "invalid_input", detail, errors=errors))

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for these
        code = HTTPStatus(error.status_code).name.lower()
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(app, request)):
            headers["Allow"] = ", ".join(methods)
        return problem_response(error.status_code, problem(error.status_code, code, str(error.detail)), headers)

    async def gone(_: Request, __: Exception) -> Response:
        return problem_response(400, problem(400, "bad_request", "the request is incomplete"))

    plain_document = app.openapi

    def documented() -> dict[str, Any]:
        document = plain_document()
        problem_schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= {**problem_schema.pop("$defs"), Problem.__name__: problem_schema}
        return document

    app.openapi = documented  # type: ignore[method-assign]  # the place that FastAPI names for it
    app.add_exception_handler(ChandleryError, ours)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(
        ClientDisconnect, gone
    )  # the server detects this and sends nothing; otherwise it would be logged as a fault
