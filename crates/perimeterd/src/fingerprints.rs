//! The operator's own rules for naming who answers, from where the configuration says they are.

use anyhow::{Context, bail};
use identify::{
    Fingerprints,
    fingerprint::{probes::ServiceProbes, recog::Database},
};
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// No such file is as large as this.
const MOST_BYTES: u64 = 32 << 20;
const MOST_FILES: usize = 500;

/// All that is configured, or why it cannot be used.
pub(crate) fn load(wanted: &config::Identify) -> anyhow::Result<Fingerprints> {
    let mut fingerprints = Fingerprints::default();
    let mut digests = Vec::new();
    if let Some(folder) = &wanted.recog {
        let databases = recog(folder, &mut digests).with_context(|| format!("Recog's folder {}", folder.display()))?;
        fingerprints = fingerprints.with_recog(databases);
    }
    if let Some(path) = &wanted.service_probes {
        let told = || format!("the service probes in {}", path.display());
        let text = bytes(path).with_context(told)?;
        digests.extend(identify::sha256(&text).0);
        let probes = ServiceProbes::read(&text).with_context(told)?;
        fingerprints = fingerprints.with_probes(probes);
    }
    Ok(if digests.is_empty() { fingerprints } else { fingerprints.of_files(identify::sha256(&digests)) })
}

/// Every file of XML in the folder, in the order of their names. The digest of each goes to `digests`.
fn recog(folder: &Path, digests: &mut Vec<u8>) -> anyhow::Result<Vec<Database>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "xml") {
            paths.push(path);
        }
        if paths.len() > MOST_FILES {
            bail!("it holds more than {MOST_FILES} files");
        }
    }
    if paths.is_empty() {
        bail!("it holds no file that ends in .xml");
    }
    paths.sort();
    let mut read = |path: &std::path::PathBuf| {
        let told = || path.display().to_string();
        let text = String::from_utf8(bytes(path).with_context(told)?).with_context(told)?;
        digests.extend(identify::sha256(text.as_bytes()).0);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Database::read(&name, &text).with_context(told)
    };
    paths.iter().map(&mut read).collect()
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        bail!("it is not a file");
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("it is larger than {MOST_BYTES} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_read_and_faults_name_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = |recog: bool, probes: bool| config::Identify {
            recog: recog.then(|| folder.path().to_owned()),
            service_probes: probes.then(|| folder.path().join("probes")),
            ..config::Identify::default()
        };
        assert!(load(&wanted(false, false)).unwrap().is_empty());
        let fault = |recog, probes| format!("{:#}", load(&wanted(recog, probes)).unwrap_err());
        assert!(fault(true, false).contains("no file that ends in .xml"));
        fs::write(folder.path().join("a.xml"), "<fingerprints>\n<fingerprint pattern='('/></fingerprints>").unwrap();
        let told = fault(true, false);
        assert!(told.contains("a.xml: line 2: the pattern `(`"), "{told}");
        fs::write(folder.path().join("a.xml"), "<fingerprints><fingerprint pattern='a'/></fingerprints>").unwrap();
        assert!(fault(true, true).contains("probes"));
        fs::write(folder.path().join("probes"), "Probe TCP NULL q||\nmatch a m|b|\n").unwrap();
        let fingerprints = load(&wanted(true, true)).unwrap();
        assert_eq!((fingerprints.recog().len(), fingerprints.probes().map(ServiceProbes::len)), (1, Some(1)));
    }
}
