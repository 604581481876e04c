"""What the layout promises: a test file for each module, small pieces, nothing that binds it to one machine."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "src" / "chandlery"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
TESTS = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "tests").rglob("*.py"))

# Modules whose tests stand in a file of another name, below tests/.
TESTED_IN: dict[str, str] = {
    "__init__.py": "test_public_names.py",
    "service/__init__.py": "test_public_names.py",
    # Adds answers up for the reading.
    "history/answers.py": "history/test_rest_reading.py",
    # Parts of the manager, which have no behaviour but through it.
    "history/assemble.py": "history/test_manager.py",
    "history/async_manager.py": "history/test_manager.py",
    "history/execute.py": "history/test_manager.py",
    "history/series.py": "history/test_manager.py",
    # The open connection, which only ``connect`` makes.
    "net/connection.py": "net/test_ws.py",
    # The pages that every exchange client reads.
    "net/candle_exchange.py": "net/test_exchange_client.py",
    # What carries the requests of the client, and what it makes of statuses.
    "net/status.py": "net/test_http.py",
    "net/transport.py": "net/test_http.py",
    # The wires of one exchange.
    "sim/wires/kucoin/contracts.py": "sim/wires/kucoin/test_spot.py",
    # The registry of the wires.
    "sim/wires/__init__.py": "sim/test_wires.py",
    # A book and its connection have no behaviour but through a feed.
    "feed/book_stream.py": "feed/test_book_feed.py",
    "feed/book_bundle.py": "feed/test_book_feed.py",
    # Shares the fixtures of the clients that it finds.
    "connector.py": "clients/test_connector.py",
    # The names of its modules.
    "testing/__init__.py": "testing/test_retries.py",
    # The streams of a client have none but through it.
    "clients/live.py": "clients/test_native.py",
    # The measurements of a probe, which it makes one after the other.
    "probe/__init__.py": "probe/test_run.py",
    "probe/requests.py": "probe/test_run.py",
    "probe/live.py": "probe/test_run.py",
    "probe/past.py": "probe/test_run.py",
    "probe/peer.py": "probe/test_run.py",
    # The second half of the demo.
    "cli/demo_service.py": "cli/test_demo.py",
    # What the fallback gives.
    "clients/sources.py": "clients/test_fallback.py",
    # What groups of feeds share has none but through them.
    "feed/group.py": "feed/test_candles_feed.py",
    # What the repositories share.
    "database/interfaces.py": "database/test_books.py",
    # What the endpoints of authentication need and answer.
    "service/auth/guard.py": "service/auth/test_endpoints.py",
    "service/auth/schemas.py": "service/auth/test_endpoints.py",
    # What the tools take and answer.
    "service/mcp/schemas.py": "service/mcp/test_tools.py",
    "service/auth/wiring.py": "service/auth/test_validator.py",
    # Parts of collecting, which have no behaviour but through the manager.
    "service/collection/availability.py": "service/collection/test_service.py",
    "service/collection/interfaces.py": "service/collection/test_service.py",
    "service/collection/stream_supervisor.py": "service/collection/test_service.py",
    "service/collection/processor.py": "service/collection/test_service.py",
    "service/collection/schemas.py": "service/collection/test_endpoints.py",
    # Parts of the past, likewise.
    "service/historical/current.py": "service/historical/test_fetcher.py",
    "service/historical/interfaces.py": "service/historical/test_fetcher.py",
    "service/historical/schemas.py": "service/historical/test_endpoints.py",
    "service/historical/service.py": "service/historical/test_fetcher.py",
    # What only whoever comes through a door sees.
    "service/app.py": "service/web/test_application.py",
    "service/metrics.py": "service/web/test_application.py",
    "service/run.py": "cli/test_serve.py",
    "service/web/catalogue.py": "service/web/test_application.py",
    "service/web/health.py": "service/web/test_application.py",
    "service/web/history.py": "service/web/test_socket.py",
    "service/web/protocol.py": "service/web/test_socket.py",
    "service/web/session.py": "service/web/test_socket.py",
    # What the clients share.
    "history/interfaces.py": "history/test_factory.py",
    "history/native.py": "history/test_rest.py",
}

# Places in tests that need what is otherwise refused: (file, word) to the reason.
ALLOWED: dict[tuple[str, str], str] = {}

MODULE_LINES = 400
DATA_LINES = 500
"""The limit of the exchanges' modules, most of which is data."""
FUNCTION_LINES = 60


def _holds_code(tree: ast.Module) -> bool:
    """Whether a module has anything but a docstring and imports."""
    return any(not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom) for node in tree.body)


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_test_file_of_its_name(module):
    """``src/chandlery/<layer>/<name>.py`` is tested by ``tests/<layer>/test_<name>.py``."""
    path = Path(module)
    if path.name == "__init__.py" and not _holds_code(ast.parse((SOURCE / module).read_text())):
        return
    name = path.parent.name if path.name == "__init__.py" else path.stem
    expected = TESTED_IN.get(module, path.with_name(f"test_{name}.py").as_posix())

    assert (PROJECT / "tests" / expected).is_file(), f"tests/{expected} is missing"


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_are_small(module):
    """No module is longer than 400 lines, of an exchange than 500, no function than 60 besides its docstring."""
    text = (SOURCE / module).read_text()
    long = [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := _lines(node)) > FUNCTION_LINES
    ]

    assert [] == long
    assert len(text.splitlines()) <= (DATA_LINES if module.startswith("exchanges/") else MODULE_LINES)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring and first.end_lineno else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_every_module_is_named_for_what_it_does():
    """Nothing is called utils, common or helpers."""
    vague = {"util", "utils", "common", "helper", "helpers", "misc"}

    assert [] == [module for module in MODULES if vague & {*Path(module).with_suffix("").parts}]


REFUSED_IN_TESTS = {
    "mock": re.compile(
        r"\bimport mock\b|\bunittest\.mock\b|\bunittest import mock\b|\bMock\(|\bMagicMock\b|\bmocker\b"
    ),
    "patch": re.compile(r"\bmonkeypatch\.setattr\b|\bpatch\(|\bpatch\.object\b"),
    "sleep": re.compile(r"\btime\.sleep\("),
}


@pytest.mark.parametrize("file", [file for file in TESTS if file != "tests/test_layout.py"])
def test_tests_replace_nothing_of_ours_and_hope_for_nothing(file):
    """No mock, no patch, no sleep: servers, files and processes are real, and waits have a condition."""
    text = (PROJECT / file).read_text()
    found = {word for word, pattern in REFUSED_IN_TESTS.items() if pattern.search(text)}

    assert set() == {word for word in found if (file, word) not in ALLOWED}


@pytest.mark.parametrize("file", TESTS)
def test_tests_say_what_they_show(file):
    """Each test has a docstring that states the behaviour."""
    silent = [
        node.name
        for node in ast.walk(ast.parse((PROJECT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent


_TEXT = {".py", ".md", ".toml", ".txt", ".cfg", ".yml", ".yaml", ".json", ""}
_BUILT = {".git", ".venv", ".venv-bench", ".make", "dist", "build", "site", "__pycache__"}


def _texts() -> list[Path]:
    """All files of the repository that are text, whatever tool may have left beside them aside."""
    found = []
    for path in PROJECT.rglob("*"):
        parts = path.relative_to(PROJECT).parts
        built = any(
            part in _BUILT or part.endswith(("_cache", ".egg-info")) or part.startswith((".hypothesis", ".coverage"))
            for part in parts
        )
        if not built and path.is_file() and path.suffix in _TEXT:
            found.append(path)
    return found


def test_nothing_names_a_machine_or_a_registry():
    """No absolute path of somebody's machine and no package index stands in any file."""
    # Written in pieces, so that this file does not hold what it refuses.
    everywhere = re.compile(
        "|".join(["/wor" + "k/", "/opt/" + "pypi", "/home/" + r"\w", "pypi" + r"\.org", "python" + "hosted"])
    )
    in_source = re.compile("/tm" + "p/")
    found = []
    for path in _texts():
        text = path.read_text(errors="replace")
        if everywhere.search(text) or (SOURCE in path.parents and in_source.search(text)):
            found.append(path.relative_to(PROJECT).as_posix())

    assert [] == found


def test_import_contracts_have_no_exceptions():
    """The contracts of import-linter are kept without ``ignore_imports``, and the layers are exhaustive."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

    assert [] == [contract["name"] for contract in contracts if "ignore_imports" in contract]
    assert all(contract["exhaustive"] for contract in contracts if contract["type"] == "layers")


def test_every_lint_exception_gives_its_reason():
    """A ``noqa`` or ``type: ignore`` names its rule and says why, after a second ``#``."""
    silent = re.compile(r"#\s*(?:noqa|type: ignore)(?!: ?\w|\[)|#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s*$")
    found = [
        f"{module}:{number}"
        for module in MODULES
        for number, line in enumerate((SOURCE / module).read_text().splitlines(), 1)
        if silent.search(line)
    ]

    assert [] == found
