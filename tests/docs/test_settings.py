"""The tables of settings in the documentation equal the settings."""

from __future__ import annotations

import re
from pathlib import Path

import platformdirs
import pytest
import typer

from chandlery.cli.app import app
from chandlery.clients.settings import CCXTConfig, FromEnvironment, Settings, StorageConfig
from chandlery.service.settings import ServiceSettings

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
CLASSES = (ServiceSettings, StorageConfig, CCXTConfig, Settings)
COMPOSED = {"storage", "ccxt", "env_file"}
"""Fields of ``Settings`` that hold other settings, or say where they are read from."""
WORDS = {
    "none": (None, (), {}),
    "for ever": (None,),
    "your data folder": (platformdirs.user_data_path("chandlery"),),
    "your cache folder": (None,),
    "the address that it listens on": (None,),
    "each exchange's own": (None,),
}
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")


def documented():
    """The default of each variable as the tables have it."""
    found = {}
    for page in ("service.md", "connections.md"):
        for line in (DOCS / page).read_text().splitlines():
            names, _, rest = line.removeprefix("| ").partition(" | ")
            if line.startswith("| `") and (variables := _VARIABLE.findall(names)):
                found |= dict.fromkeys(variables, rest.partition(" | ")[0])
    return found


def fields():
    """Each variable of each settings class, with its class and the name of its field."""
    found = []
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            if name not in COMPOSED:
                alias = field.validation_alias
                prefix = settings.model_config["env_prefix"]
                variable = alias.choices[0] if alias is not None else f"{prefix}{name}".upper()
                found.append(pytest.param(settings, name, variable, id=variable))
    return found


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """An environment in which none of them is set."""
    for param in fields():
        monkeypatch.delenv(param.id, raising=False)


def test_every_settings_class_is_looked_at():
    """Those of the package; what reads credentials is made for each question."""
    classes = {each for each in FromEnvironment.__subclasses__() if each.__module__.startswith("chandlery.")}

    assert set(CLASSES) == {each for each in classes if not each.__name__.startswith("_")}


@pytest.mark.parametrize(("settings", "name", "variable"), fields())
def test_the_default_is_the_documented_one(settings, name, variable, monkeypatch):
    """The documented text, set in the environment, gives what comes out with nothing set."""
    actual = getattr(settings(_env_file=None), name)
    text = documented()[variable]

    if text in WORDS:
        assert actual in WORDS[text]
    else:
        monkeypatch.setenv(variable, text.strip("`"))
        assert getattr(settings(_env_file=None), name) == actual


def test_no_table_has_a_variable_that_is_no_setting():
    """Those of exchanges' accounts stand apart."""
    known = {param.id for param in fields()}

    assert {"TRADESTATION_CLIENT_ID", "TRADESTATION_REFRESH_TOKEN"} == documented().keys() - known


def test_the_command_line_shows_the_same_defaults():
    """Each option of ``chandlery serve`` that is a setting."""
    command = typer.main.get_command(app).commands["serve"]
    shown = {each.name: each.show_default for each in command.params if isinstance(each.show_default, str)}
    table = documented()

    assert {"host", "port", "snapshot_interval", "log_format"} <= shown.keys()
    for name in shown.keys() - {"public_url", "data_dir"}:
        assert shown[name] == table[f"CHANDLERY_{name}".upper()].strip("`")
