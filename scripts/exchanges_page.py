"""Writes ``docs/exchanges.md`` from what the adapters declare, as part of ``make docs``."""

from __future__ import annotations

from pathlib import Path

from chandlery.adapter.capabilities import Capabilities, all_capabilities
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import DECLARATIONS
from chandlery.cli.exchanges import back_to, described
from chandlery.core.time import DAY

PAGE = Path(__file__).resolve().parent.parent / "docs" / "exchanges.md"
_TITLES = ("exchange", "candles", "live candles", "back to", "order book", "checked by", "funding", "archive")


def page() -> str:
    """The whole page."""
    rows = all_capabilities()
    head = [
        "# Exchanges",
        "",
        "What each exchange can do, as its adapter declares it; `make docs` writes this page.",
        "A request that an exchange cannot answer is refused before it is sent, with what it can answer.",
        "The standing of a declaration says how well it is known: recorded, documented, contradicted elsewhere, unverified. None is a",
        "promise of the exchange: it is a first guess, and what arrives is believed before it.",
        'A regional site is chosen by its name: `endpoints={"okx_spot": {"site": "eea"}}`.',
        "",
        f"| {' | '.join(_TITLES)} |",
        f"|{'---|' * len(_TITLES)}",
    ]
    return "\n".join([*head, *map(_line, rows), "", *(line for row in rows for line in _section(row))])


def _line(row: Capabilities) -> str:
    cells = (
        f"[{row.id}](#{row.id})",
        str(len(row.intervals)),
        str(len(row.live_intervals) or "-"),
        back_to(row),
        ", ".join(map(str, row.book_depths)) or "-",
        row.book_check or "-",
        "yes" if row.funding else "-",
        "yes" if row.archive else "-",
    )
    return f"| {' | '.join(cells)} |"


def _section(row: Capabilities) -> list[str]:
    lines = [f"## {row.id}", ""]
    lines += [f"- {name}: {value}" for name, value in described(row).items() if value != "-"]
    lines += _declared(row)
    lines += _sites(row.id)
    if row.unverified:
        lines += ["", "Not verified against documentation or a recording:", ""]
        lines += [f"- {each}" for each in row.unverified]
    return [*lines, ""]


def _declared(row: Capabilities) -> list[str]:
    """Each declaration with its value and its standing."""
    adapter = ExchangeRegistry.create(row.id)
    rule = adapter.book_rule
    values = {
        "socket address": adapter.ws_url if adapter.live_intervals or rule else None,
        "candles a request": row.page_size,
        "bounds of a request": "one page",
        "order of a page": "latest first" if adapter.rest_row.newest_first else "oldest first",
        "memory": back_to(row),
        "grids": "days and longer in UTC" if any(each.longest >= DAY for each in adapter.intervals) else None,
        "closed flag": ("sent" if adapter.live_closes else "none") if adapter.live_intervals else None,
        "order book": rule and f"{rule.snapshot.value} snapshot, {rule.link.value} link",
        "checksum": "checked" if rule and rule.checksum else None,
        "streams a connection": adapter.socket.streams if adapter.live_intervals or rule else None,
        "funding rates a request": adapter.funding_page_size or None,
    }
    table = ["", "| declaration | value | standing | seen |", "|---|---|---|---|"]
    for name in DECLARATIONS:
        seen = adapter.standing[name]
        if values[name] is not None:
            table.append(f"| {name} | {values[name]} | {seen.standing.value} | {seen.note or '-'} |")
    return table


def _sites(exchange: str) -> list[str]:
    sites = ExchangeRegistry.get(exchange).sites
    if not sites:
        return []
    own = ExchangeRegistry.create(exchange)
    rows = [(name, site["rest"], site.get("ws", own.ws_url)) for name, site in sites.items()]
    table = ["", "| site | REST | sockets |", "|---|---|---|"]
    return [*table, *(f"| `{name}` | {rest} | {ws} |" for name, rest, ws in rows)]


if __name__ == "__main__":
    PAGE.write_text(page())
