"""What third-party packages offer by entry points."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from chandlery.core.entry_points import loaded
from chandlery.core.errors import InvalidInput


def test_what_it_names_is_imported():
    """A function, or a module."""
    assert json.loads is loaded(EntryPoint("loads", "json:loads", "chandlery.plugins"))
    assert json is loaded(EntryPoint("json", "json", "chandlery.exchanges"))


@pytest.mark.parametrize("value", ["no_such_module_of_anybody", "json:no_such_name", "json:loads.no_such_attribute"])
def test_what_cannot_be_imported_is_named(value):
    """The error says whose fault it is and what to do; the cause is with it."""
    with pytest.raises(
        InvalidInput, match=f"the entry point acme = {value} of chandlery.exchanges .* uninstall it"
    ) as raised:
        loaded(EntryPoint("acme", value, "chandlery.exchanges"))

    assert isinstance(raised.value.__cause__, ImportError | AttributeError)
