"""Generate ``docs/exchanges.md`` from the declarations of the adapters, as part of ``make docs``."""

from __future__ import annotations

from pathlib import Path

from chandlery.adapter.books import Link, SnapshotSource
from chandlery.adapter.capabilities import Capabilities, all_capabilities
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import DECLARATIONS
from chandlery.cli.exchanges import back_to, described
from chandlery.core.time import DAY

PAGE = Path(__file__).resolve().parent.parent / "docs" / "exchanges.md"
_TITLES = (
    "exchange",
    "intervals",
    "live intervals",
    "history by REST",
    "order book levels",
    "order book check",
    "funding",
    "archive",
)
_SNAPSHOTS = {
    SnapshotSource.REST: "by REST",
    SnapshotSource.MESSAGE: "on request by WebSocket",
    SnapshotSource.STREAM: "as the first message",
}
_LINKS = {
    Link.NONE: "updates without ids per book",
    Link.FIRST: "an update names its first and last id",
    Link.PREVIOUS: "an update names the id of the previous one",
}


def page() -> str:
    """Return the whole page."""
    rows = all_capabilities()
    head = [
        "# Exchanges",
        "",
        "The capabilities of each exchange, as its adapter declares them. `make docs` generates this page. A request that an exchange does not",
        "support is refused before it is sent, with an error that lists the supported values.",
        "",
        "The table of declarations gives the evidence for each declaration, best first: *recorded* (observed in real data), *documented* by the",
        "exchange, *contradicted elsewhere* (documented, but other clients observed or use another value), *unverified*. Declarations are initial",
        "values. If received data contradicts one, the data is right: for example, a smaller page size is detected and used.",
        "",
        'To use a [regional site](connections.md#regional-sites), select it by name: `endpoints={"okx_spot": {"site": "eea"}}`.',
        "",
        "In the first table, *intervals* are the numbers of candle intervals by REST and on WebSocket. *Order book check* is the evidence that no",
        "message was lost: sequence ids, a checksum, or messages that contain the whole book (*snapshots*).",
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
        lines += ["", "Assumptions that are neither documented nor recorded:", ""]
        lines += [f"- {each}" for each in row.unverified]
    return [*lines, ""]


def _declared(row: Capabilities) -> list[str]:
    """Return the table of declarations, each with its value and the evidence for it."""
    adapter = ExchangeRegistry.create(row.id)
    rule = adapter.book_rule
    values = {
        "WebSocket address": adapter.ws_url if adapter.live_intervals or rule else None,
        "candles per request": row.page_size,
        "range of a request": "exactly the requested candles",
        "order of rows": "latest first" if adapter.rest_row.newest_first else "oldest first",
        "history depth": back_to(row),
        "alignment": "days and longer in UTC" if any(each.longest >= DAY for each in adapter.intervals) else None,
        "closed flag": ("sent" if adapter.live_closes else "none") if adapter.live_intervals else None,
        "order book": rule and f"snapshot {_SNAPSHOTS[rule.snapshot]}, {_LINKS[rule.link]}",
        "checksum": "checked" if rule and rule.checksum else None,
        "streams per connection": adapter.socket.streams if adapter.live_intervals or rule else None,
        "funding rates per request": adapter.funding_page_size or None,
    }
    table = ["", "| declaration | value | evidence | source |", "|---|---|---|---|"]
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
    table = ["", "| site | REST | WebSocket |", "|---|---|---|"]
    return [*table, *(f"| `{name}` | {rest} | {ws} |" for name, rest, ws in rows)]


if __name__ == "__main__":
    PAGE.write_text(page())
