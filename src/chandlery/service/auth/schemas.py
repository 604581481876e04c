"""Requests and responses of the authentication endpoints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Login(BaseModel):
    """Form posted for a token."""

    grant_type: str = Field(description="client_credentials or password", examples=["client_credentials"])
    client_id: str = ""
    client_secret: str = ""
    username: str = ""
    password: str = ""
    scope: str = Field("", examples=["read"])
    resource: str | None = Field(None, description="URL of the resource that the token is for.")


class TokenResponse(BaseModel):
    """Token response (RFC 6749, 5.1)."""

    access_token: str = Field(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.e30.c2ln"])
    token_type: str = Field("Bearer", examples=["Bearer"])
    expires_in: int = Field(description="In seconds.", examples=[900])
    scope: str = Field(examples=["read collect"])


class TokenError(BaseModel):
    """Token error (RFC 6749, 5.2)."""

    error: str = Field(examples=["invalid_client"])
    error_description: str = Field(examples=["no client of that name has that secret"])


class ServerMetadata(BaseModel):
    """Metadata of the authorization server (RFC 8414)."""

    issuer: str
    authorization_endpoint: str = Field(
        description="Answers with an error: no grant here uses it, but some clients require the field."
    )
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    service_documentation: str


class ResourceMetadata(BaseModel):
    """Metadata of the protected resource (RFC 9728)."""

    resource: str
    authorization_servers: list[str]
    jwks_uri: str
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str


class KeySet(BaseModel):
    """JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]
