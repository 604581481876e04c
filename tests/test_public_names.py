"""The public names import, and are documented; nothing else is public."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chandlery
import chandlery.service
import chandlery.testing

# The names that the five systems' own documents give.
FIVE_SYSTEMS = set(
    """
    IExchangeAPIClient IDataSourceConnector DataSourceConnectorImpl PluginRegistry CCXTExchangeClient CCXTConfig Settings
    IAuthenticationModule TokenValidator get_current_user IDataCollectionManager CoinCollectionList RealTimeProcessor
    AvailabilityChecker IHistoricalDataManager HistoricalFetcher StreamingHandler CurrentDataFetcher IStorageManager
    IRawDataRepository IDatabaseConnection RawOrderBookEntry MCPRouter
    ExchangeManager AuthenticatedExchangeManager PublicExchangeManager ExchangeWrapper ExchangeConnectionFactory
    CandlesFeed CandleData DataProcessor NetworkStrategy WebSocketStrategy RESTPollingStrategy NetworkClient
    ExchangeRegistry BaseAdapter
    DataSourceManager DataSource DataProvider ChartType MarketType Interval DataClientInterface DataClientFactory
    RestDataClient VisionDataClient BinanceFundingRateClient UnifiedCacheManager OUTPUT_DTYPES FUNDING_RATE_DTYPES
    """.split()  # noqa: SIM905  # a list of so many names reads best as text
)
PACKAGES = [chandlery, chandlery.service, chandlery.testing]
_ROW = re.compile(r"\| `(?P<name>\w+)` \| [^|]+ \| `(?P<module>[\w.]+)` \| (?P<since>planned|\d+\.\d+) \|")


@pytest.fixture(scope="module")
def documented(project):
    """Name to (module, since), of every row of the names page."""
    rows = [line for line in (project / "docs/names.md").read_text().splitlines() if line.startswith("| `")]
    found = [_ROW.fullmatch(row) for row in rows]
    assert all(found), [row for row, match in zip(rows, found, strict=True) if not match]
    names = {match["name"]: (match["module"], match["since"]) for match in found}
    assert len(names) == len(rows), "a name stands there twice"
    return names


def test_every_name_of_the_five_systems_is_documented(documented):
    """The names page misses none of the names that the five systems' documents give."""
    assert set() == FIVE_SYSTEMS - set(documented)


def test_what_is_public_is_what_is_documented_as_present(documented):
    """``chandlery.__all__``, those of the service and of the tests, and the names page list the same names."""
    present = [name for name, (_, since) in documented.items() if since != "planned"]

    assert sorted(present) == sorted(name for package in PACKAGES for name in package.__all__)


@pytest.mark.parametrize(("package", "name"), [(each, name) for each in PACKAGES for name in each.__all__])
def test_name_imports_from_where_it_is_said_to_live(documented, package, name):
    """``chandlery.X`` is the same object as the one in the module that the names page gives."""
    module, _ = documented[name]

    assert getattr(importlib.import_module(module), name) is getattr(package, name)
    assert name in dir(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_stub_of_a_package_is_its_list(package):
    """Type checkers see the names of ``__all__``, each once, and each under its own name."""
    tree = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text())
    imported = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]

    assert [alias.asname for alias in imported] == [alias.name for alias in imported]
    assert sorted(alias.name for alias in imported) == package.__all__


def test_star_import_dir_and_unknown_names():
    """A star import brings all public names; a wrong name is an ``AttributeError`` that says so."""
    code = "from chandlery import *; import chandlery; assert set(chandlery.__all__) <= set(globals())"
    subprocess.run([sys.executable, "-c", code], check=True)

    assert set(chandlery.__all__) <= set(dir(chandlery))
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        _ = chandlery.NoSuchName
