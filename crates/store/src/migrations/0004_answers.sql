-- What services were recognised by, so that other rules may look at it again without a packet.

-- The bytes, each set of them once.
CREATE TABLE answer_bytes (
    id     INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    bytes  BLOB NOT NULL
) STRICT;

-- `name` is '' where only the address was asked. `base` is what our own parsers made of the bytes.
CREATE TABLE answer (
    address   BLOB    NOT NULL,
    vantage   TEXT    NOT NULL,
    transport TEXT    NOT NULL,
    port      INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    base      TEXT    NOT NULL,
    bytes     INTEGER NOT NULL REFERENCES answer_bytes (id),
    PRIMARY KEY (address, vantage, transport, port, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_by_bytes ON answer (bytes);

-- Bytes nobody refers to any more go with the last who did.
CREATE TRIGGER answer_deleted AFTER DELETE ON answer
WHEN NOT EXISTS (SELECT 1 FROM answer WHERE bytes = OLD.bytes)
BEGIN
    DELETE FROM answer_bytes WHERE id = OLD.bytes;
END;
CREATE TRIGGER answer_replaced AFTER UPDATE OF bytes ON answer
WHEN OLD.bytes <> NEW.bytes AND NOT EXISTS (SELECT 1 FROM answer WHERE bytes = OLD.bytes)
BEGIN
    DELETE FROM answer_bytes WHERE id = OLD.bytes;
END;
