//! Debian's servers as a table: what each is, and the few lines of shell that configure one and become it.

mod chat;
mod data;
pub(crate) mod datagram;
mod directories;
mod files;
mod mail;
mod shells;
mod web;

use crate::truth;

/// One server, on its own.
#[derive(Debug)]
pub(crate) struct Server {
    /// The package whose program answers, and whose version is the truth.
    pub package: &'static str,
    /// The IANA name of what it speaks.
    pub protocol: &'static str,
    /// What it is called.
    pub product: &'static str,
    pub tells: Tells,
    /// It begins with TLS.
    pub tls: bool,
    /// See [`testkit::server::Script`].
    pub script: &'static str,
}

/// What of itself a server tells to somebody who may not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// What it speaks, and nothing by which it could be told from others.
    Protocol,
    /// Its name.
    Product,
    /// Its name and exact version.
    Version,
}

impl Server {
    pub(crate) fn label(&self) -> String {
        let tls = if self.tls { "+tls" } else { "" };
        format!("{}/{}{tls}", self.package, self.protocol)
    }

    /// What is wrong with what was told of it.
    pub(crate) fn judge(&self, protocol: Option<&str>, product: Option<&str>, version: Option<&str>) -> Vec<String> {
        let mut wrong = Vec::new();
        if protocol != Some(self.protocol) {
            wrong.push(format!("protocol {} for {}", protocol.unwrap_or("none"), self.protocol));
        }
        // A program of another name that only carries it is none of these; no name at all is right where it tells none.
        let needs_product = self.tells != Tells::Protocol;
        if product.map_or(needs_product, |product| product != self.product) {
            wrong.push(format!("product {} for {}", product.unwrap_or("none"), self.product));
        }
        let truth = truth::version(self.package);
        let needs_version = self.tells == Tells::Version;
        if version.map_or(needs_version, |version| version != truth) {
            wrong.push(format!("version {} for {truth}", version.unwrap_or("none")));
        }
        wrong
    }
}

/// Every family, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static Server> {
    [shells::ALL, web::ALL, mail::ALL, files::ALL, directories::ALL, data::ALL, chat::ALL].into_iter().flatten()
}
