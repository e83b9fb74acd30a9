//! Where things are when nobody says: the configuration, the state folder, the sockets.

use std::{
    env,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The configuration of an installed daemon.
pub(crate) const INSTALLED_CONFIG: &str = "/etc/perimeterd/perimeterd.toml";

/// Whether there is anything under that name. What cannot be known counts as there: a folder that may not be looked into must not
/// hide what stands in it.
pub(crate) fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// The socket's name in whatever folder it stands.
pub(crate) const SOCKET_NAME: &str = "perimeterd.sock";

const SYSTEM_RUNTIME_DIR: &str = "/run/perimeterd";

/// The folder a user's own daemon keeps its database in: `$XDG_STATE_HOME/perimeterd`, or `~/.local/state/perimeterd`.
/// None for a user without a home.
pub(crate) fn state_dir() -> Option<PathBuf> {
    // The XDG base directory specification says that relative paths are to be ignored.
    let xdg = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = xdg
        .or_else(|| env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local").join("state")))?;
    Some(base.join("perimeterd"))
}

/// The socket of the daemon that uses this database.
pub(crate) fn socket_beside(database: &Path) -> PathBuf {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.join(SOCKET_NAME),
        _ => PathBuf::from(SOCKET_NAME),
    }
}

/// The socket in the folder systemd made for the unit, where it did (`$RUNTIME_DIRECTORY` may list several folders; the
/// first is ours).
pub(crate) fn runtime_socket() -> Option<PathBuf> {
    let folders = env::var_os("RUNTIME_DIRECTORY")?;
    env::split_paths(&folders).next().filter(|folder| folder.is_absolute()).map(|folder| folder.join(SOCKET_NAME))
}

/// Where a client looks for the daemon, in this order. A `--socket` is believed alone, and so is a `--config`.
pub(crate) fn candidate_sockets(socket: Option<&Path>, config: Option<&Path>) -> Vec<PathBuf> {
    if let Some(socket) = socket {
        return vec![socket.to_owned()];
    }
    if let Some(config) = config {
        return database_of(config).as_deref().map(socket_beside).into_iter().collect();
    }
    let mut sockets: Vec<PathBuf> = [
        database_of(Path::new(INSTALLED_CONFIG)).as_deref().map(socket_beside),
        state_dir().map(|folder| folder.join(SOCKET_NAME)),
        Some(Path::new(SYSTEM_RUNTIME_DIR).join(SOCKET_NAME)),
    ]
    .into_iter()
    .flatten()
    .collect();
    sockets.dedup();
    sockets
}

/// The database a configuration file names, or the one it would use by default. Only that key is read: a client need not be
/// able to read the secrets beside it. None where the file cannot be read or is no TOML.
fn database_of(config: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(config).ok()?;
    database_in(&text, config.parent()?)
}

fn database_in(text: &str, folder: &Path) -> Option<PathBuf> {
    let table: toml::Table = text.parse().ok()?;
    let path = table.get("store").and_then(|store| store.get("path")).and_then(toml::Value::as_str);
    Some(folder.join(path.unwrap_or(DEFAULT_DATABASE)))
}

/// Where an installed daemon keeps its database when its configuration does not say.
const DEFAULT_DATABASE: &str = "/var/lib/perimeterd/perimeter.db";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_database_in_a_configuration() {
        let folder = Path::new("/etc/perimeterd");
        for (text, expect) in [
            ("", Some(DEFAULT_DATABASE)),
            ("[store]\npath = \"/srv/p.db\"", Some("/srv/p.db")),
            ("[store]\npath = \"p.db\"", Some("/etc/perimeterd/p.db")),
            ("[store]\nretention = \"1d\"", Some(DEFAULT_DATABASE)),
            ("[store", None),
        ] {
            assert_eq!(database_in(text, folder), expect.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_known_counts_as_there() {
        // A name that is too long cannot be looked up, like one in a folder that may not be entered.
        let unknowable = format!("/{}", "x".repeat(5000));
        for (path, expect) in [("/", true), ("/nonexistent/x.toml", false), (unknowable.as_str(), true)] {
            assert_eq!(is_there(Path::new(path)), expect);
        }
    }

    #[test]
    fn a_socket_stands_beside_its_database() {
        for (database, expect) in [
            ("/var/lib/perimeterd/perimeter.db", "/var/lib/perimeterd/perimeterd.sock"),
            ("perimeter.db", "perimeterd.sock"),
        ] {
            assert_eq!(socket_beside(Path::new(database)), Path::new(expect));
        }
    }

    #[test]
    fn what_the_operator_says_is_believed_alone() {
        let socket = Path::new("/somewhere/else.sock");
        assert_eq!(candidate_sockets(Some(socket), Some(Path::new("x.toml"))), [socket.to_owned()]);
        assert!(candidate_sockets(None, Some(Path::new("/nonexistent/x.toml"))).is_empty());
        let default = candidate_sockets(None, None);
        assert_eq!(default.last(), Some(&PathBuf::from("/run/perimeterd/perimeterd.sock")));
    }
}
