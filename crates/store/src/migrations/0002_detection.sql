-- What the loop must remember of itself: troubles told, lanes called stale, prefixes that answer for everything.
CREATE TABLE note (
    vantage TEXT NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (vantage, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE pool (
    vantage TEXT NOT NULL,
    asset   TEXT NOT NULL,
    state   TEXT NOT NULL,
    PRIMARY KEY (vantage, asset)
) STRICT, WITHOUT ROWID;
