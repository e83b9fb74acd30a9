-- The probe ledger: who was asked what, when and why, a row a volley. Whether an endpoint was among those asked, and when,
-- is reckoned from its place in the order.

-- The endpoints of volleys, each set of them once. `low` and `high` are its first and last address.
CREATE TABLE probe_territory (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE,
    low     BLOB NOT NULL,
    high    BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX probe_territory_by_extent ON probe_territory (low, high);

-- For whom and for what. '' and an empty pass: for nobody's in particular.
CREATE TABLE probe_errand (
    id      INTEGER PRIMARY KEY,
    vantage TEXT    NOT NULL,
    profile TEXT    NOT NULL,
    lane    TEXT    NOT NULL,
    pass    BLOB    NOT NULL,
    why     TEXT    NOT NULL,
    -- When it was first sent out.
    began   INTEGER NOT NULL,
    UNIQUE (pass, why, vantage, profile, lane)
) STRICT;

-- Ids ascend by when a volley began. With a seed the order is that of the permutation, with moments each endpoint has a time
-- of its own, with neither it is that of the numbers. Indices and seeds are unsigned, bit by bit.
CREATE TABLE probe_volley (
    territory    INTEGER NOT NULL REFERENCES probe_territory (id),
    id           INTEGER NOT NULL,
    errand       INTEGER NOT NULL REFERENCES probe_errand (id),
    attempt      INTEGER NOT NULL,
    last_attempt INTEGER NOT NULL,
    raw          INTEGER NOT NULL,
    source       BLOB,
    seed         INTEGER,
    moments      BLOB,
    first_index  INTEGER NOT NULL,
    end_index    INTEGER NOT NULL,
    -- 1: only some of them were asked, and which is not known.
    some         INTEGER NOT NULL,
    began        INTEGER NOT NULL,
    -- NULL: it is under way, or the daemon ended before it.
    ended        INTEGER,
    PRIMARY KEY (territory, id)
) STRICT, WITHOUT ROWID;
