//! Which version a server really is: what its package says.

use std::process::Command;
use testkit::output_of;

/// The upstream version of an installed package: `9.2p1` of `1:9.2p1-2+deb12u10`.
pub(crate) fn version(package: &str) -> String {
    let said = output_of(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]));
    upstream(said.trim()).to_owned()
}

/// Without epoch and revision (deb-version(7)), and without what tells that the packager left something out of the source.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let mark = ["+dfsg", "~dfsg", "+ds", "+really"].iter().filter_map(|mark| version.find(mark)).min();
    mark.and_then(|at| version.get(..at)).unwrap_or(version)
}

#[test]
fn upstream_versions() {
    for (version, expect) in [
        ("1:9.2p1-2+deb12u10", "9.2p1"),
        ("2.3.19.1+dfsg1-2.1+deb12u7", "2.3.19.1"),
        ("3.5.0+ds1-0+deb12u1", "3.5.0"),
        ("5:7.0.15-1~deb12u10", "7.0.15"),
        ("2.0.11-1.2", "2.0.11"),
        ("26.1", "26.1"),
    ] {
        assert_eq!(upstream(version), expect, "{version}");
    }
}
