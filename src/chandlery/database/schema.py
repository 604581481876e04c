"""
The tables, as a sequence of migrations.

A published migration is never changed; a change of the tables is a further migration. Times are
microseconds UTC. A series is one channel of one exchange and symbol: ``book``,
``candles:1m`` and so on. Its origin is the server that answered in place of the exchange, empty for the
exchange itself, and ``unknown`` for rows stored before origins were recorded.
"""

from __future__ import annotations

APPLICATION_ID = 0x43484E44
"""Identifies a file as ours, in its header."""

TABLES = frozenset(
    {
        "series",
        "books",
        "candles",
        "coins",
        "gaps",
        "principals",
        "signing_keys",
        "revoked_tokens",
        "listings",
        "listing_reads",
    }
)
"""The tables after all migrations."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            exchange TEXT NOT NULL,
            symbol TEXT NOT NULL,
            channel TEXT NOT NULL,
            UNIQUE (exchange, symbol, channel)
        ) STRICT""",
        "CREATE INDEX series_of_symbol ON series (symbol, channel)",
        """CREATE TABLE books (
            series INTEGER NOT NULL REFERENCES series,
            at INTEGER NOT NULL,
            entry BLOB NOT NULL,
            UNIQUE (series, at)
        ) STRICT""",
        """CREATE TABLE candles (
            series INTEGER NOT NULL REFERENCES series,
            open_time INTEGER NOT NULL,
            open REAL NOT NULL,
            high REAL NOT NULL,
            low REAL NOT NULL,
            close REAL NOT NULL,
            volume REAL NOT NULL,
            quote_asset_volume REAL,
            count INTEGER,
            taker_buy_volume REAL,
            taker_buy_quote_volume REAL,
            closed INTEGER NOT NULL,
            PRIMARY KEY (series, open_time)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE coins (
            exchange TEXT NOT NULL,
            symbol TEXT NOT NULL,
            channels TEXT NOT NULL,
            since INTEGER NOT NULL,
            PRIMARY KEY (exchange, symbol)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE gaps (
            series INTEGER NOT NULL REFERENCES series,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            kind TEXT NOT NULL,
            evidence TEXT NOT NULL,
            PRIMARY KEY (series, start, stop)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE principals (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('client', 'user')),
            name TEXT NOT NULL,
            secret_hash TEXT NOT NULL,
            scopes TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            revoked_at INTEGER
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE signing_keys (
            kid TEXT PRIMARY KEY,
            private_pem TEXT NOT NULL,
            signs_from INTEGER NOT NULL,
            retires_at INTEGER
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE revoked_tokens (
            jti TEXT PRIMARY KEY,
            expires_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        # The longest gap of a series, which bounds where one that reaches into a span can start.
        "CREATE INDEX gaps_length ON gaps (series, stop - start)",
        "CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at)",
    ),
    (
        # Created under another name and renamed, so that references to them stay valid.
        """CREATE TABLE series_by_origin (
            id INTEGER PRIMARY KEY,
            origin TEXT NOT NULL,
            exchange TEXT NOT NULL,
            symbol TEXT NOT NULL,
            channel TEXT NOT NULL,
            UNIQUE (origin, exchange, symbol, channel)
        ) STRICT""",
        "INSERT INTO series_by_origin SELECT id, 'unknown', exchange, symbol, channel FROM series",
        "DROP TABLE series",
        "ALTER TABLE series_by_origin RENAME TO series",
        "CREATE INDEX series_of_symbol ON series (symbol, channel)",
        """CREATE TABLE coins_by_origin (
            origin TEXT NOT NULL,
            exchange TEXT NOT NULL,
            symbol TEXT NOT NULL,
            channels TEXT NOT NULL,
            since INTEGER NOT NULL,
            PRIMARY KEY (origin, exchange, symbol)
        ) STRICT, WITHOUT ROWID""",
        "INSERT INTO coins_by_origin SELECT 'unknown', exchange, symbol, channels, since FROM coins",
        "DROP TABLE coins",
        "ALTER TABLE coins_by_origin RENAME TO coins",
    ),
    # Time until which a gap counts as proved and is not requested again; existing gaps are not proved.
    ("ALTER TABLE gaps ADD COLUMN believed_until INTEGER NOT NULL DEFAULT 0",),
    (
        # By issuer, where '' is this service, so that ids of different issuers do not collide.
        """CREATE TABLE revoked_by_issuer (
            id INTEGER PRIMARY KEY,
            issuer TEXT NOT NULL,
            token TEXT NOT NULL,
            expires_at INTEGER NOT NULL,
            UNIQUE (issuer, token)
        ) STRICT""",
        "INSERT INTO revoked_by_issuer (issuer, token, expires_at) SELECT '', jti, expires_at FROM revoked_tokens",
        "DROP TABLE revoked_tokens",
        "ALTER TABLE revoked_by_issuer RENAME TO revoked_tokens",
        "CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at)",
    ),
    (
        # Local time of the last message for a candle, and the exchange's time of it; null in existing rows.
        "ALTER TABLE candles ADD COLUMN received_at INTEGER",
        "ALTER TABLE candles ADD COLUMN at INTEGER",
    ),
    (
        # What each list of instruments changed, null where an instrument left it; and the first and the last list.
        """CREATE TABLE listings (
            origin TEXT NOT NULL,
            market TEXT NOT NULL,
            symbol TEXT NOT NULL,
            seen_at INTEGER NOT NULL,
            listing TEXT,
            PRIMARY KEY (origin, market, symbol, seen_at)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE listing_reads (
            origin TEXT NOT NULL,
            market TEXT NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            PRIMARY KEY (origin, market)
        ) STRICT, WITHOUT ROWID""",
    ),
)
