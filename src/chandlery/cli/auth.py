"""``chandlery auth``: accounts of the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from chandlery.cli import arguments, output
from chandlery.clients.data_folder import database_of, readable_database_of
from chandlery.core.errors import InvalidInput
from chandlery.core.time import iso

if TYPE_CHECKING:
    from chandlery.database.principals import PrincipalRepository
    from chandlery.service.auth.service import AuthenticationModuleImpl

_T = TypeVar("_T")

commands = typer.Typer(
    help="Accounts of the service: programs (clients) and people (users).", pretty_exceptions_show_locals=False
)

_SCOPE = typer.Option(["read"], "--scope", help="read, collect or admin. Repeatable.")
_JSON = typer.Option(False, "--json", help="Print JSON.")
_TITLES = ("id", "kind", "name", "scopes", "created", "revoked")


@commands.command("create-client")
def create_client(
    name: str = typer.Argument(help="Name of the program, for the list of accounts."),
    scope: list[str] = _SCOPE,
    data_dir: Path | None = arguments.DATA_DIR,
    *,
    as_json: bool = _JSON,
) -> None:
    """Create a client for a program. Its secret is shown only now."""

    async def create(module: AuthenticationModuleImpl) -> tuple[str, str]:
        client, secret = await module.create_client(name, scope)
        return client.id, secret

    identifier, secret = _with_accounts(data_dir, create)
    if as_json:
        output.print_json({"client_id": identifier, "client_secret": secret})
        return
    to = output.printer()
    to.print(f"client_id      {identifier}")
    to.print(f"client_secret  {secret}")
    sys.stderr.write("store the secret now: it is not shown again\n")


@commands.command("create-user")
def create_user(
    name: str = typer.Argument(help="Name for the login."),
    scope: list[str] = _SCOPE,
    data_dir: Path | None = arguments.DATA_DIR,
) -> None:
    """Create a user. The password is read from a prompt, or from the first line of stdin."""
    password = _secret_line("Password", twice=True)
    user = _with_accounts(data_dir, lambda module: module.create_user(name, password, scope))
    output.printer().print(f"{user.id} {user.name}: {' '.join(user.scopes)}")


@commands.command("rotate-keys")
def rotate_keys(data_dir: Path | None = arguments.DATA_DIR) -> None:
    """Start signing with the next key; issued tokens stay valid until they expire."""
    kid = _with_accounts(data_dir, lambda module: module.keys.rotate())
    output.printer().print(f"tokens are signed with {kid} from now on; a running service follows within half a minute")


@commands.command()
def revoke(
    identifier: str = typer.Argument(metavar="ID", help="Id of a client or user, as shown by list."),
    data_dir: Path | None = arguments.DATA_DIR,
) -> None:
    """Revoke a client or user; their tokens become invalid within a second."""
    _with_accounts(data_dir, lambda module: module.revoke(identifier))
    output.printer().print(f"{identifier} is revoked")


@commands.command("revoke-token")
def revoke_token(data_dir: Path | None = arguments.DATA_DIR) -> None:
    """Revoke one token, of this service or of another issuer. It is read from stdin or a prompt."""
    token = _secret_line("Token")
    name = _with_accounts(data_dir, lambda module: module.revoke_unjudged(token.strip()))
    output.printer().print(f"{name} is revoked", soft_wrap=True)


@commands.command("list")
def list_accounts(data_dir: Path | None = arguments.DATA_DIR, *, as_json: bool = _JSON) -> None:
    """List clients and users."""

    async def read() -> list[tuple[str, ...]]:
        async with readable_database_of(data_dir) as database:
            found = await _repository(database).all()
        return [
            (
                each.id,
                each.kind,
                each.name,
                " ".join(each.scopes),
                iso(each.created_at),
                "" if each.revoked_at is None else iso(each.revoked_at),
            )
            for each in found
        ]

    rows = asyncio.run(read())
    if as_json:
        output.print_json([dict(zip(_TITLES, row, strict=True)) for row in rows])
    elif rows:
        output.printer().print(output.as_table(_TITLES, rows, left=6))
    else:
        output.printer().print("no accounts; create one with chandlery auth create-client")


def _repository(database: object) -> PrincipalRepository:
    from chandlery.database.principals import PrincipalRepository  # noqa: PLC0415  # loaded where it is used

    return PrincipalRepository(database)  # type: ignore[arg-type]  # a database, which is typed only where its extra is


def _with_accounts(data_dir: Path | None, work: Callable[[AuthenticationModuleImpl], Awaitable[_T]]) -> _T:
    """Run ``work`` on the accounts in a data folder, which is created if missing."""
    database = database_of(data_dir, made=True)

    async def run() -> _T:
        from chandlery.net.clock import system_clock  # noqa: PLC0415  # loaded where it is used
        from chandlery.service.auth.wiring import authentication  # noqa: PLC0415  # needs an extra

        async with database:
            return await work(authentication(database, system_clock, issuer=""))

    return asyncio.run(run())


def _secret_line(what: str, *, twice: bool = False) -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline().rstrip("\n")
    else:
        line = typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    if not line:
        name = what.lower()
        raise InvalidInput(f"a {name} is required: type it on a terminal, or pass it as the first line of stdin")
    return str(line)
