"""``import chandlery`` costs next to nothing."""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys

HEAVY = ("ccxt", "fastapi", "pandas", "polars", "aiohttp", "pyarrow", "numpy", "isal", "stamina", "typer", "rich")


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _seconds_to_import(module: str) -> float:
    return float(
        _python(f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t, flush=True)")
    )


def test_import_is_at_most_half_as_slow_again_as_pyarrow(project):
    """With bytecode compiled, the median of interleaved imports is within 1.5 times that of pyarrow."""
    compileall.compile_dir(str(project / "src/chandlery"), quiet=1)
    pairs = [(_seconds_to_import("chandlery"), _seconds_to_import("pyarrow")) for _ in range(7)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))

    assert ours <= 1.5 * theirs, f"chandlery {ours:.3f} s, pyarrow {theirs:.3f} s"


def test_import_loads_no_heavy_library():
    """None of the large libraries is imported before it is used."""
    loaded = _python("import sys, chandlery; print(' '.join(sys.modules))").split()

    assert [] == [name for name in HEAVY if name in loaded]


def test_vocabulary_loads_no_heavy_library():
    """Intervals, instruments, queries and errors work without any of them too."""
    code = (
        "import sys; from chandlery import CandleData, CandleQuery, ChandleryError, DataSource, ExchangeRegistry, Interval; "
        "ExchangeRegistry.names(); print(' '.join(sys.modules))"
    )
    loaded = _python(code).split()

    assert [] == [name for name in HEAVY if name in loaded]


def test_nothing_of_the_library_loads_ccxt():
    """Using every public name never imports ccxt, nor a server."""
    code = "import sys; from chandlery import *; print(' '.join(sys.modules))"
    loaded = _python(code).split()

    assert [] == [name for name in ("ccxt", "fastapi", "starlette", "uvicorn") if name in loaded]


def test_a_read_of_the_cache_loads_no_http(tmp_path):
    """What lies in the cache whole is read without aiohttp, polars and the exchanges' sockets."""
    read = (
        "; manager = DataSourceManager(cache_dir={!r}, endpoints=endpoints); "
        "frame = manager.get_data('BTCUSDT', datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC), '1h'); "
        "manager.close(); print(len(frame), {})"
    )
    first = "import sys; from datetime import datetime, UTC; from chandlery import DataSourceManager"
    offline = "; from chandlery.sim.server import running; held = running(); endpoints = held.__enter__().endpoints"
    rows, endpoints = _python(first + offline + read.format(str(tmp_path), "endpoints")).split(" ", 1)
    again, *loaded = _python(f"{first}; endpoints = {endpoints}" + read.format(str(tmp_path), "*sys.modules")).split()

    assert ("48", "48") == (rows, again)
    assert [] == [name for name in ("aiohttp", "yarl", "picows", "polars", "ccxt") if name in loaded]


def test_pandas_is_loaded_for_a_dataframe_only(tmp_path):
    """Nothing on the way of other outputs needs it, as ``empty_table`` of pyarrow would: that stops an event loop."""
    code = (
        "import sys, asyncio; from datetime import datetime, UTC; from chandlery import AsyncDataSourceManager\n"
        "from chandlery.sim.server import running\n"
        "async def read(endpoints):\n"
        f"    async with AsyncDataSourceManager(cache_dir={str(tmp_path)!r}, endpoints=endpoints) as manager:\n"
        "        for source in ('rest', 'auto', 'auto'):\n"
        "            table = await manager.get_data('BTCUSDT', datetime(2024, 1, 1, tzinfo=UTC), "
        "datetime(2024, 1, 3, tzinfo=UTC), '1h', output='arrow', enforce_source=source)\n"
        "            print(len(table))\n"
        "with running() as exchange:\n"
        "    asyncio.run(read(exchange.endpoints))\n"
        "print('pandas' in sys.modules)"
    )

    assert ["48", "48", "48", "False"] == _python(code).split()


def test_the_service_loads_the_offline_exchange_only_to_be_offline():
    """``serve`` without ``--offline`` has none of it."""
    loaded = _python("import sys, chandlery.service.run, chandlery.cli.serve; print(*sys.modules)").split()

    assert [] == [name for name in loaded if name.startswith("chandlery.sim")]
    assert [] == [name for name in ("polars", "ccxt") if name in loaded]


def test_an_open_service_has_loaded_what_its_first_request_needs(tmp_path):
    """So that no request waits for it, nor the event loop."""
    code = (
        "import sys, asyncio; from chandlery.service.run import running\n"
        "from chandlery.service.settings import ServiceSettings\n"
        "async def opened():\n"
        f"    settings = ServiceSettings(_env_file=None, data_dir={str(tmp_path)!r}, no_auth=True, port=0)\n"
        "    async with running(settings):\n"
        "        print({'pandas', 'polars'} <= set(sys.modules))\n"
        "asyncio.run(opened())"
    )

    assert "True" == _python(code)
