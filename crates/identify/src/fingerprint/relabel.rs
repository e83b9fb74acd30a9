//! Answers that were kept, looked at again with other rules than they were heard with.

use super::{Fingerprints, builtin};
use crate::{Parse, Received, classify, protocol, sha256};
use model::{Heard, Service, Sha256, Transport};

impl Fingerprints {
    /// Another one when what an answer is taken for may be another: our own rules and parsers, or the operator's files.
    pub fn digest(&self) -> Sha256 {
        let mut all = env!("CARGO_PKG_VERSION").as_bytes().to_vec();
        for text in builtin::texts() {
            all.extend(sha256(text.as_bytes()).0);
        }
        all.extend(self.files.iter().flat_map(|files| files.0));
        sha256(&all)
    }

    /// What an answer that was kept is taken for by today's parsers and these rules; nothing is sent. `certificate` is subject and
    /// issuer of the one the service shows. What the conversation learnt by other ways than these bytes stays.
    pub fn relabel(&self, transport: Transport, heard: &Heard, certificate: Option<(&str, &str)>) -> Service {
        let received = Received::ended(&heard.bytes);
        // Who could not be named then is whoever the answer shows now.
        let is_unnamed = matches!(heard.base.name.as_str(), "" | super::UNKNOWN);
        let is_meant = |parse: &Parse| matches!(parse, Parse::Yes(answer) if answer.service.name == heard.base.name);
        let asked = protocol::by_name(transport, &heard.base.name);
        let reply = asked.map_or(Parse::No, |asked| protocol::reply_to(asked, received));
        let unasked = classify(transport, received);
        // Whether it was an answer to the protocol's own question is not kept: it was, where that reading says nothing that was not
        // known, and where there is no other.
        let is_known = |parse: &Parse| match parse {
            Parse::Yes(answer) => answer.service.facts.keys().all(|fact| heard.base.facts.contains_key(fact)),
            Parse::No | Parse::NeedMore => false,
        };
        let parsed =
            if !is_unnamed && is_meant(&reply) && (is_known(&reply) || !is_meant(&unasked)) { reply } else { unasked };
        let mut service = match parsed {
            Parse::Yes(answer) if is_unnamed || answer.service.name == heard.base.name => {
                overlaid(&heard.base, answer.service)
            }
            _ => heard.base.clone(),
        };
        self.label(transport, &mut service, &heard.bytes);
        if let Some((subject, issuer)) = certificate {
            self.label_by_certificate(&mut service, subject, issuer);
        }
        service
    }
}

/// What was read from the bytes anew, with what else the conversation had learnt.
fn overlaid(base: &Service, mut read: Service) -> Service {
    // How sure it was that nobody is known says nothing of who is.
    if read.product.is_none() && (read.name == base.name || base.product.is_some()) {
        read.vendor.clone_from(&base.vendor);
        read.product.clone_from(&base.product);
        read.version.clone_from(&base.version);
        read.cpe.clone_from(&base.cpe);
        read.confidence = base.confidence;
    }
    for (fact, value) in &base.facts {
        read.facts.entry(fact.clone()).or_insert_with(|| value.clone());
    }
    read.banner = read.banner.or_else(|| base.banner.clone());
    read.os = read.os.or_else(|| base.os.clone());
    read.ssh_key.clone_from(&base.ssh_key);
    for software in &base.behind {
        read.note_behind(software.clone());
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::recog;

    fn heard(bytes: &[u8]) -> Heard {
        let Parse::Yes(answer) = classify(Transport::Tcp, Received::ended(bytes)) else { panic!("no answer") };
        Heard::new(answer.service, bytes)
    }

    #[test]
    fn the_same_rules_say_the_same_and_others_add_to_it() {
        let text = r#"<fingerprints matches="http_header.server" protocol="http">
            <fingerprint pattern="^Zorb web ([\d.]+)"><param pos="0" name="service.product" value="Zorb"/>
            <param pos="1" name="service.version"/></fingerprint></fingerprints>"#;
        let none = Fingerprints::default();
        let recog = none.clone().with_recog(vec![recog::Database::read("http_servers", text).unwrap()]);
        let recog = recog.of_files(sha256(text.as_bytes()));
        assert_ne!(none.digest(), recog.digest());
        assert_eq!(recog.digest(), recog.clone().digest());
        let mut kept = heard(b"HTTP/1.1 200 OK\r\nServer: Zorb web 7.1 (beta)\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(none.relabel(Transport::Tcp, &kept, None), kept.base);
        let named = recog.relabel(Transport::Tcp, &kept, None);
        assert_eq!((named.product.as_deref(), named.version.as_deref()), (Some("Zorb"), Some("7.1")));
        // What was learnt beside the bytes stays, and what parsers of an earlier time made of them does not.
        kept.base.facts.insert("starttls".into(), "http".into());
        kept.base.product = Some("Zorb web 7.1 (be".into());
        let again = none.relabel(Transport::Tcp, &kept, None);
        assert_eq!((again.product.as_deref(), again.facts["starttls"].as_str()), (Some("Zorb web 7.1"), "http"));
    }

    #[test]
    fn what_no_parser_knew_is_named_once_one_does() {
        let greeting = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
        let today = heard(greeting);
        let facts: std::collections::BTreeMap<_, _> = [("starttls".to_owned(), "none".to_owned())].into();
        for name in ["", "unknown"] {
            let before = Service {
                name: name.into(),
                banner: today.base.banner.clone(),
                facts: facts.clone(),
                ..Service::default()
            };
            let kept = Heard::new(before, greeting);
            let named = Fingerprints::default().relabel(Transport::Tcp, &kept, None);
            assert_eq!((named.name.as_str(), named.version.as_deref()), ("ssh", today.base.version.as_deref()));
            assert!((named.confidence - today.base.confidence).abs() < f32::EPSILON, "{}", named.confidence);
            assert_eq!(named.facts["starttls"], "none", "what was learnt beside the bytes stays");
        }
        // Who had a name keeps it: what was asked is not kept, and other bytes may look like another's.
        let other = Heard::new(Service { name: "smtp".into(), ..Service::default() }, greeting);
        assert_eq!(Fingerprints::default().relabel(Transport::Tcp, &other, None).name, "smtp");
    }

    #[test]
    fn every_sample_is_read_again_as_it_was() {
        for transport in [Transport::Tcp, Transport::Udp] {
            for protocol in protocol::protocols(transport) {
                for sample in protocol.samples {
                    let Parse::Yes(answer) = classify(transport, Received::ended(sample)) else { continue };
                    let kept = Heard::new(answer.service, sample);
                    let again = Fingerprints::default().relabel(transport, &kept, None);
                    assert_eq!(again, kept.base, "{}", protocol.name);
                }
            }
        }
    }
}
