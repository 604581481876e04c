"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

PROJECT = Path(__file__).resolve().parent.parent
RECORDED = PROJECT.parent / "shared" / "recorded"

# The lists of instruments of all exchanges would be read periodically, from the real ones.
os.environ.setdefault("CHANDLERY_INSTRUMENTS_EVERY", "0")

# The machines that run this are shared: how long an example takes says nothing.
settings.register_profile("chandlery", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chandlery")


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of what exchanges really sent; it lies beside the checkout and is never copied."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded exchange data is not beside the checkout")
    return RECORDED


@pytest.fixture(scope="session")
def script():
    """Loads a module of ``scripts/``, which is no package, by name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


def pytest_terminal_summary(terminalreporter):
    """The counts of conformance under contradiction, over all tests that ran."""
    _counted(terminalreporter, "contradiction", "draws by outcome", ("complete", "reported", "refused"))
    _counted(
        terminalreporter, "live contradiction", "live candles", ("draws", "candles", "wrong", "lacking", "restated")
    )


def _counted(terminalreporter, name: str, title: str, kinds: tuple[str, ...]) -> None:
    counts: dict[str, Counter[str]] = {}
    for report in terminalreporter.stats.get("passed", ()):
        for key, value in report.user_properties:
            if key == name:
                counts.setdefault(value[0], Counter()).update(value[1])
    if counts:
        terminalreporter.write_sep("-", f"under contradiction: {title}")
        terminalreporter.write_line(f"{'':28}" + "".join(f"{kind:>10}" for kind in kinds))
        for each, found in counts.items():
            terminalreporter.write_line(f"{each:28}" + "".join(f"{found[kind]:>10}" for kind in kinds))
