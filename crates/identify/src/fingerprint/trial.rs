//! Trying rules out: does each compile, does it keep its examples, and how does it bear answers made to be slow. Whoever has a
//! clock times it.

use super::{Fingerprints, builtin::builtin, probes, recog};

/// One rule, to be tried.
#[derive(Debug, Clone, Copy)]
pub enum Trial<'f> {
    /// One of Recog's, by its place in the file.
    Recog(&'f recog::Database, usize),
    Probe(&'f probes::Line),
}

/// A value of each kind that makes patterns go back and forth, each as long as an answer that is kept.
pub fn hostile_values() -> Vec<Vec<u8>> {
    const LENGTH: usize = 4096;
    [
        b"a".as_slice(),
        b"1.",
        b" \t",
        b"aA1_-.",
        b"\r\n",
        b"220 a-b c (d) [e] <f> v1.2.3 ESMTP ",
        b"HTTP/1.1 200 OK\r\nServer: a/1.2 (b) c/3\r\n",
        b"\x00\xff\x80",
        b"<a href=\"b\"><title>c</title>",
    ]
    .into_iter()
    .map(|seed| seed.iter().copied().cycle().take(LENGTH).collect())
    .collect()
}

/// How many products and rules are built in. That they hold is tested where they are built.
pub fn builtin_counts() -> (usize, usize) {
    builtin().counts()
}

impl Fingerprints {
    /// Every rule there is beside those built in.
    pub fn trials(&self) -> impl Iterator<Item = Trial<'_>> {
        let recog = self
            .recog
            .iter()
            .flat_map(|database| (0..database.fingerprints.len()).map(move |index| Trial::Recog(database, index)));
        recog.chain(self.probes.iter().flat_map(|probes| probes.lines()).map(Trial::Probe))
    }

    /// The folder's files.
    pub fn recog(&self) -> &[recog::Database] {
        &self.recog
    }

    pub fn probes(&self) -> Option<&probes::ServiceProbes> {
        self.probes.as_deref()
    }
}

impl Trial<'_> {
    /// Where it stands: `recog ssh_banners #37`, `service probes line 4711`.
    pub fn place(&self) -> String {
        match self {
            Self::Recog(database, index) => format!("recog {} #{}", database.name, index + 1),
            Self::Probe(line) => format!("service probes line {}", line.number),
        }
    }

    pub fn pattern(&self) -> &str {
        match self {
            Self::Recog(database, index) => database.fingerprints.get(*index).map_or("", |one| one.pattern.as_str()),
            Self::Probe(line) => &line.pattern,
        }
    }

    /// Whether it matches; none where it cannot be compiled. The first time compiles it.
    pub fn run(&self, value: &[u8]) -> Option<bool> {
        match self {
            Self::Recog(database, index) => Some(database.fingerprints.get(*index)?.regex()?.is_match(value)),
            Self::Probe(line) => line.is_match(value),
        }
    }

    /// How many examples its author gives, and what does not hold of them.
    pub fn examples(&self) -> (usize, Vec<String>) {
        let Self::Recog(database, index) = self else { return (0, Vec::new()) };
        let Some(fingerprint) = database.fingerprints.get(*index) else { return (0, Vec::new()) };
        let mut faults = Vec::new();
        for example in &fingerprint.examples {
            let shown = crate::printable(&example.value);
            match fingerprint.read(&example.value, database.protocol.as_deref()) {
                None => faults.push(format!("does not match its example `{shown}`")),
                Some(said) => {
                    let wrong = example.expect.iter().find(|(name, value)| said.get(*name) != Some(*value));
                    faults.extend(wrong.map(|(name, value)| {
                        let found = said.get(name).map_or("nothing", String::as_str);
                        format!(
                            "says {name} is {}, and its example `{shown}` {value}",
                            crate::printable(found.as_bytes())
                        )
                    }));
                }
            }
        }
        (fingerprint.examples.len(), faults)
    }
}
