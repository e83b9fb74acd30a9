-- Times are milliseconds since 1970 (UTC). An address is one byte for its family (4 or 6) and then the address itself,
-- so that comparing blobs compares addresses, IPv4 first. The name a service was asked under is '' where it was
-- asked by its address alone. Columns named `state`, `record` and `json` hold the whole thing; the others are for searching.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE host (
    vantage    TEXT    NOT NULL,
    address    BLOB    NOT NULL,
    up         INTEGER NOT NULL,
    -- 0: its first sign of life waits for its confirmation, and nobody has been told of it.
    told       INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    os         TEXT,
    state      TEXT    NOT NULL,
    PRIMARY KEY (address, vantage)
) STRICT;

CREATE TABLE service (
    vantage     TEXT    NOT NULL,
    address     BLOB    NOT NULL,
    transport   TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    protocol    TEXT,
    product     TEXT,
    version     TEXT,
    certificate TEXT,
    service     TEXT,
    tls         TEXT,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    PRIMARY KEY (address, vantage, transport, port, name),
    FOREIGN KEY (address, vantage) REFERENCES host (address, vantage) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX service_by_port ON service (port, transport);
CREATE INDEX service_by_product ON service (product, version) WHERE product IS NOT NULL;
CREATE INDEX service_by_certificate ON service (certificate) WHERE certificate IS NOT NULL;

CREATE TABLE violation (
    vantage TEXT NOT NULL,
    address BLOB NOT NULL,
    record  TEXT NOT NULL,
    PRIMARY KEY (address, vantage)
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    sha256      TEXT    PRIMARY KEY,
    spki_sha256 TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    issuer      TEXT    NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    served      INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    state       TEXT    NOT NULL
) STRICT;
CREATE INDEX certificate_by_end ON certificate (not_after, sha256);

CREATE TABLE certificate_der (
    sha256 TEXT PRIMARY KEY,
    der    BLOB NOT NULL
) STRICT;

CREATE TABLE region (
    vantage TEXT NOT NULL,
    profile TEXT NOT NULL,
    lane    TEXT NOT NULL,
    state   TEXT NOT NULL,
    PRIMARY KEY (vantage, profile, lane)
) STRICT;

CREATE TABLE baseline (
    vantage TEXT    NOT NULL,
    profile TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (vantage, profile)
) STRICT, WITHOUT ROWID;

-- What a name resolves to depends on who asks.
CREATE TABLE lease (
    vantage TEXT NOT NULL,
    asset   TEXT NOT NULL,
    name    TEXT NOT NULL,
    record  TEXT NOT NULL,
    PRIMARY KEY (vantage, asset, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pass (
    id       TEXT    PRIMARY KEY,
    vantage  TEXT    NOT NULL,
    profile  TEXT    NOT NULL,
    lane     TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    finished INTEGER,
    record   TEXT    NOT NULL
) STRICT;
CREATE INDEX pass_by_lane ON pass (vantage, profile, lane, started, id);

-- AUTOINCREMENT: a sequence number is never given twice, not even after the newest rows were deleted.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT    NOT NULL UNIQUE,
    type      TEXT    NOT NULL,
    severity  INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    vantage   TEXT    NOT NULL,
    profile   TEXT,
    transport TEXT,
    port      INTEGER,
    name      TEXT,
    json      TEXT    NOT NULL
) STRICT;
CREATE INDEX event_by_time ON event (time);

-- Every address an event is about: its host's and those of its further endpoints.
CREATE TABLE event_address (
    address BLOB    NOT NULL,
    event   INTEGER NOT NULL REFERENCES event (seq) ON DELETE CASCADE,
    PRIMARY KEY (address, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_address_by_event ON event_address (event);

CREATE TABLE alert (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT    NOT NULL UNIQUE,
    event    INTEGER NOT NULL REFERENCES event (seq),
    profile  TEXT    NOT NULL,
    severity INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    rules    TEXT    NOT NULL
) STRICT;
CREATE INDEX alert_by_event ON alert (event);
CREATE INDEX alert_by_time ON alert (time);

-- A digest is a list of alerts that never changes once it is begun: what it says of an alert's siblings is what was
-- known then, which is `alerts_until`.
CREATE TABLE digest (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    recipient    TEXT    NOT NULL,
    window_from  INTEGER NOT NULL,
    window_to    INTEGER NOT NULL,
    first_seq    INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    alerts_until INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    first_try    INTEGER NOT NULL,
    next_try     INTEGER NOT NULL,
    last_error   TEXT,
    ended_at     INTEGER,
    ending       TEXT CHECK (ending IN ('delivered', 'dead')),
    answer       TEXT,
    CHECK ((ended_at IS NULL) = (ending IS NULL))
) STRICT;
CREATE UNIQUE INDEX digest_open ON digest (recipient) WHERE ended_at IS NULL;
CREATE INDEX digest_by_recipient ON digest (recipient, number);

CREATE TABLE owed (
    recipient TEXT    NOT NULL,
    alert     INTEGER NOT NULL REFERENCES alert (seq),
    digest    INTEGER REFERENCES digest (number),
    PRIMARY KEY (recipient, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX owed_waiting ON owed (recipient, alert) WHERE digest IS NULL;
CREATE INDEX owed_by_digest ON owed (digest, alert) WHERE digest IS NOT NULL;
CREATE INDEX owed_by_alert ON owed (alert);
