"""
Show the best levels of a live order book in the terminal.

Run: ``python examples/order_book_ladder.py [updates]``; without a number of updates it runs until Ctrl-C.
"""

import asyncio
import sys

from rich.live import Live
from rich.table import Table

from chandlery import OrderBook, OrderBookFeed, Settings

LEVELS = 10


def ladder(book: OrderBook) -> Table:
    """Draw the best asks above the best bids."""
    table = Table("size", "price", title=f"spread {book.spread:.6g}")
    for price, size in reversed(book.asks(LEVELS)):
        table.add_row(f"{size:.6f}", f"[red]{price:.2f}")
    for price, size in book.bids(LEVELS):
        table.add_row(f"{size:.6f}", f"[green]{price:.2f}")
    return table


async def main(updates: str = "inf") -> None:
    """Redraw the ladder at each update; a book that is being resynchronized is not drawn."""
    drawn = 0
    async with OrderBookFeed("kraken_spot", "BTC/USD", 25, endpoints=Settings().endpoints) as feed:
        with Live(auto_refresh=False) as screen:
            async for update in feed:
                if isinstance(update, OrderBook):
                    screen.update(ladder(update), refresh=True)
                    drawn += 1
                    if drawn >= float(updates):
                        return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
