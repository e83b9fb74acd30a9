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

-- History. What is true now stands in the rows of the present, with when it began; what was true stands in the tables
-- `…_past`, from `since` until before `until`. Together they say what was open at any time. Only what is confirmed
-- counts: a host that is up, an endpoint that is open on a host that is up, and what was last known of its service.

-- Since when it is up without a break; NULL: it is not.
ALTER TABLE host ADD COLUMN up_since INTEGER;
UPDATE host SET up_since = first_seen WHERE up AND told;

-- Since when it is open with this protocol, product, version and certificate; NULL: it is not.
ALTER TABLE service ADD COLUMN since INTEGER;
UPDATE service SET since = changed_at
    WHERE status = 'open' AND EXISTS (SELECT 1 FROM host
        WHERE host.address = service.address AND host.vantage = service.vantage AND host.up_since IS NOT NULL);

-- What began in a time, without reading everything that lasts.
CREATE INDEX host_by_beginning ON host (up_since, address, vantage) WHERE up_since IS NOT NULL;
CREATE INDEX service_by_beginning ON service (since) WHERE since IS NOT NULL;

-- `ending` says why it ended: `lost`, `closed`, `changed`, `renamed`, `purged` or `released`.
CREATE TABLE host_past (
    vantage TEXT    NOT NULL,
    address BLOB    NOT NULL,
    since   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    ending  TEXT    NOT NULL,
    PRIMARY KEY (address, vantage, until)
) STRICT, WITHOUT ROWID;
CREATE INDEX host_past_by_end ON host_past (until);

CREATE TABLE service_past (
    vantage     TEXT    NOT NULL,
    address     BLOB    NOT NULL,
    transport   TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    ending      TEXT    NOT NULL,
    protocol    TEXT,
    product     TEXT,
    version     TEXT,
    certificate TEXT,
    PRIMARY KEY (address, vantage, until, transport, port, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_past_by_end ON service_past (until);
CREATE INDEX service_past_by_certificate ON service_past (certificate) WHERE certificate IS NOT NULL;
