"""Every class that a diagram of the five documents names can be imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

import chandlery
import chandlery.service
from chandlery.service import (
    FastAPIApp,
    HTTP_Endpoint,
    OAuth2PasswordBearer,
    Service,
    ServiceSettings,
    WebSocketEndpoint,
)

DOCUMENTS = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("*.txt"))
PLACEHOLDERS = {
    "ExchangeAPIClientPlugin1",
    "ExchangeAPIClientPlugin2",
    "ExternalExchangeAPI",
    "OtherAdapters",
    "AdapterRegistry",
}
"""Plugins of users, the exchange itself, and a part of the registry that has no class of its own."""
_CLASS = re.compile(r"^ +class (\w+)", re.MULTILINE)
_NODE = re.compile(r"\b([A-Z]\w+) --> \|[\w/]+\| ([A-Z]\w+)")


def classes(text):
    """The names of the classes in the diagrams of a document."""
    names = set()
    for diagram in re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL):
        names |= (
            set(_CLASS.findall(diagram))
            if "classDiagram" in diagram
            else {each for pair in _NODE.findall(diagram) for each in pair}
        )
    return names


@pytest.mark.skipif(not DOCUMENTS, reason="the five documents are not beside the project")
def test_every_class_of_a_diagram_imports():
    """From the library, or from the service."""
    names = {name for path in DOCUMENTS for name in classes(path.read_text())} - PLACEHOLDERS

    missing = sorted(name for name in names if not (hasattr(chandlery, name) or hasattr(chandlery.service, name)))

    assert len(names) > 40
    assert [] == missing


def test_the_application_and_its_endpoints(tmp_path):
    """``FastAPIApp`` returns the application; its routes are of the classes that the diagram names."""
    service = Service(ServiceSettings(_env_file=None, data_dir=tmp_path), "http://127.0.0.1:1")

    app = FastAPIApp(service)

    assert isinstance(app, FastAPI)
    kinds = {type(route) for each in app.routes for route in getattr(each, "original_router", app).routes}
    assert {HTTP_Endpoint, WebSocketEndpoint} <= kinds
    assert OAuth2PasswordBearer(tokenUrl="token")
