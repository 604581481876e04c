"""The official client of the Model Context Protocol, as language models use it, and what goes over its wire."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import aiohttp
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


MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


def call(tool, arguments):
    """A call as it is written."""
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": META},
    }


def hello():
    """What opens a session."""
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


async def post(url, content, token=None, **headers):
    """Status, content and headers of what ``/mcp`` answers."""
    headers = {"Accept": "application/json, text/event-stream", **headers}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as session, session.post(f"{url}/mcp", json=content, headers=headers) as given:
        text = await given.text()
        plain = "json" in given.headers.get("Content-Type", "")
        return given.status, json.loads(text) if plain else text, given.headers


async def token_of(running, *scopes):
    """A token for a new client."""
    client, secret = await running.accounts.create_client("model", scopes)
    return (await running.accounts.login("client", client.id, secret)).text
