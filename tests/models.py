"""The official client of the Model Context Protocol, as language models use it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx2
from mcp.client import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client


class Tokens:
    """Where the official client keeps its tokens."""

    def __init__(self):
        self.tokens = self.info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.info

    async def set_client_info(self, client_info):
        self.info = client_info


@asynccontextmanager
async def model_of(accounts, url, *scopes, mode="auto"):
    """A client with a new account of those scopes; it finds out by itself where its token is had."""
    account, secret = await accounts.create_client("model", scopes)
    provider = ClientCredentialsOAuthProvider(f"{url}/mcp", Tokens(), account.id, secret, issuer=url)
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client
