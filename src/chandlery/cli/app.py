"""Entry point of the command line, which turns errors into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

import chandlery
from chandlery.cli.auth import commands as auth_commands
from chandlery.cli.cache import commands as cache_commands
from chandlery.cli.db import commands as db_commands
from chandlery.cli.exchanges import exchanges
from chandlery.cli.fetch import fetch
from chandlery.cli.instruments import instruments
from chandlery.cli.mcp import mcp
from chandlery.cli.probe import probe
from chandlery.cli.serve import serve
from chandlery.cli.sim import sim
from chandlery.cli.universe import universe
from chandlery.core.errors import ChandleryError, IncompleteData, InvalidInput

OK, FAILURE, MISTAKE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    add_completion=False,
    help="Candles and funding rates of crypto exchanges: complete, correct and fast.",
    epilog="Exit codes: 0 success, 1 failed (exchange, disk), 2 invalid command line, 3 incomplete data, 130 interrupted.",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if wanted:
        sys.stdout.write(f"chandlery {chandlery.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),  # noqa: FBT001  # an option
) -> None:
    pass


app.command()(fetch)
app.add_typer(cache_commands, name="cache")
app.add_typer(db_commands, name="db")
app.add_typer(auth_commands, name="auth")
app.command()(serve)
app.command()(sim)
app.command()(mcp)
app.command()(exchanges)
app.command()(instruments)
app.command()(universe)
app.command()(probe)


def run(args: Sequence[str]) -> int:
    """
    Run a command line and return its exit code.

    Expected errors are one line on stderr, never a traceback. A closed pipe, as by ``head``, is not an error.
    """
    code = OK
    try:
        code = _dispatch(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except TyperException as error:
        code = _complain(f"{error.format_message().rstrip('.')}; see chandlery --help", MISTAKE)
    except InvalidInput as error:
        code = _complain(str(error), MISTAKE)
    except IncompleteData as error:
        code = _complain(_advice(error), INCOMPLETE)
    except (ChandleryError, OSError) as error:
        code = _complain(str(error), FAILURE)
    return code


def main() -> None:
    """Run the command line of this process, and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a symbol may contain letters that the locale cannot encode
    sys.exit(run(sys.argv[1:]))


def _dispatch(args: Sequence[str]) -> int:
    # Not typer's own main, which handles exit codes and broken pipes differently.
    command = typer.main.get_command(app)
    try:
        with command.make_context("chandlery", list(args) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return OK


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"chandlery: {' '.join(message.split())}\n")
    return code


def _advice(error: IncompleteData) -> str:
    first = error.missing[0]
    more = f", and {len(error.missing) - 1} more spans," if len(error.missing) > 1 else ""
    return f"incomplete: {first.span}{more} unavailable: {first.evidence}. Use --on-missing report to get the available rows"


def _silence_stdout() -> None:
    """Redirect stdout, since flushing its buffer at exit would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
