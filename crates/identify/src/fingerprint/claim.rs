//! What a rule that was not ours claims of a service, and how claims come together: what was known stays, what was not is
//! filled in, and who contradicts is kept and shown.

use super::{APPLICATION, APPLICATION_VERSION, Field, cpe, recog};
use crate::text;
use model::{Os, Service, Software};

/// Where the names come from that our own rules did not give: `recog ssh_banners #37`.
const SOURCE: &str = "fingerprint";
/// What somebody else takes the product or the system for.
const PRODUCT_DISPUTED: &str = "product.disputed";
const OS_DISPUTED: &str = "os.disputed";
/// A contradiction of those who are this sure is shown.
const SURE: f32 = 0.75;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Claim {
    pub(crate) source: String,
    pub(crate) vendor: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    /// The product's CPE 2.3 name.
    pub(crate) cpe: Option<String>,
    pub(crate) os: Option<Os>,
    /// Further facts: hardware, the kind of device.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// 0 to 1.
    pub(crate) confidence: f32,
    /// It is about what stands behind the server that was named, such as an application: no contradiction.
    pub(crate) is_behind: bool,
}

impl Claim {
    /// What one of Recog's fingerprints says.
    pub(crate) fn of_recog(hit: &recog::Hit<'_>) -> Self {
        /// What an author who does not say is taken to be.
        const USUAL: f32 = 0.85;
        let said = |key: &str| {
            let value = hit.parameters.get(key).map(|value| text::printable(value.as_bytes()));
            value.filter(|value| !value.is_empty())
        };
        let certainty = |key: &str| said(key).and_then(|value| value.parse::<f32>().ok());
        let own = hit.certainty().unwrap_or(USUAL).clamp(0.0, 1.0);
        let os = said("os.product").or_else(|| said("os.family")).map(|product| {
            let family = said("os.family").unwrap_or_else(|| product.clone()).to_lowercase();
            // Of a distribution Recog says vendor Debian, product Linux.
            let product = match said("os.vendor") {
                Some(vendor) if product == "Linux" && vendor != "Linux" => Some(vendor),
                _ if product.eq_ignore_ascii_case("linux") => None,
                _ => Some(product),
            };
            let confidence = certainty("os.certainty").unwrap_or(own).clamp(0.0, 1.0);
            Os { family, product, version: said("os.version"), confidence }
        });
        let facts = [
            ("hardware.vendor", "hw.vendor"),
            ("hardware.product", "hw.product"),
            ("hardware.device", "hw.device"),
            ("component.product", "service.component.product"),
            ("component.version", "service.component.version"),
        ];
        let uri = hit.parameters.get("service.cpe23");
        Self {
            source: format!("recog {} #{}", hit.database.name, hit.number),
            vendor: said("service.vendor"),
            product: said("service.product").or_else(|| said("service.family")),
            version: said("service.version"),
            cpe: uri.and_then(|uri| cpe::from_uri(uri)),
            os,
            facts: facts.into_iter().filter_map(|(fact, key)| Some((fact, said(key)?))).collect(),
            confidence: certainty("service.certainty").unwrap_or(own),
            is_behind: matches!(
                hit.database.field(),
                Some(
                    Field::HttpTitle | Field::HttpCookie | Field::HttpAuth | Field::HttpPoweredBy | Field::HttpFavicon
                )
            ),
        }
    }

    /// Only what it says of the machine: hardware and system.
    pub(crate) fn about_device(self) -> Self {
        Self { vendor: None, product: None, version: None, cpe: None, ..self }
    }

    /// Adds to a service what is claimed of it. True where it named the product.
    pub(crate) fn add_to(self, service: &mut Service) -> bool {
        let mut used = false;
        // Whom our own rules know has a vendor; a word of its own has none.
        let is_known = service.vendor.is_some() && service.product.is_some();
        let named = match (&self.product, is_known) {
            (Some(product), false) => {
                service.vendor.clone_from(&self.vendor);
                service.product = Some(product.clone());
                if self.version.is_some() || !speaks_of(product, service) {
                    service.version.clone_from(&self.version);
                }
                service.cpe = self.cpe.iter().cloned().collect();
                used = true;
                true
            }
            (Some(product), true) if is_same(service, product, self.vendor.as_deref()) => {
                if service.version.is_none() && self.version.is_some() {
                    service.version.clone_from(&self.version);
                    if service.cpe.is_empty() {
                        service.cpe.extend(self.cpe.clone());
                    }
                    used = true;
                }
                false
            }
            (Some(product), true) if self.is_behind => {
                if let Some(cpe) = &self.cpe {
                    service.note_behind(Software {
                        vendor: self.vendor.clone(),
                        product: product.clone(),
                        version: self.version.clone(),
                        cpe: Some(cpe.clone()),
                    });
                }
                if !service.facts.contains_key(APPLICATION) {
                    service.facts.insert(APPLICATION.into(), product.clone());
                    service.facts.extend(self.version.map(|version| (APPLICATION_VERSION.to_owned(), version)));
                    service.cpe.extend(self.cpe);
                    used = true;
                }
                false
            }
            (Some(product), true) if self.confidence >= SURE => {
                let version = self.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
                service.facts.insert(PRODUCT_DISPUTED.into(), format!("{product}{version} ({})", self.source));
                false
            }
            _ => false,
        };
        if let Some(os) = self.os {
            used |= add_system(service, os, &self.source);
        }
        for (fact, value) in self.facts {
            used |= service.facts.insert(fact.to_owned(), value).is_none();
        }
        if used {
            service.facts.entry(SOURCE.to_owned()).or_insert(self.source);
        }
        named
    }
}

/// The banner says the product's own name, so that the version beside it stays.
fn speaks_of(product: &str, service: &Service) -> bool {
    service.banner.as_deref().is_some_and(|banner| text::after(banner, product).is_some())
}

/// Two names of one thing: a word in common that is not only the maker's. Everybody writes `Apache httpd` differently, and `Apache
/// Tomcat` is something else.
fn is_same(service: &Service, product: &str, vendor: Option<&str>) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| word.len() >= 3);
        words.map(str::to_lowercase).filter(|word| !matches!(word.as_str(), "server" | "the" | "project")).collect()
    };
    let makers: Vec<String> = service.vendor.as_deref().into_iter().chain(vendor).flat_map(words).collect();
    let own = |product: &str| -> Vec<String> {
        let (makers, own): (Vec<_>, Vec<_>) = words(product).into_iter().partition(|word| makers.contains(word));
        if own.is_empty() { makers } else { own }
    };
    let ours = service.product.as_deref().map(own).unwrap_or_default();
    own(product).iter().any(|word| ours.contains(word))
}

/// The surer system stays, with a version from the other where both mean the same. True where the new one is used.
fn add_system(service: &mut Service, new: Os, source: &str) -> bool {
    let Some(known) = &mut service.os else {
        service.os = Some(new);
        return true;
    };
    if known.family == new.family {
        let is_finer = known.product.is_none() || (known.product == new.product && known.version.is_none());
        if is_finer && (new.product.is_some() || new.version.is_some()) {
            *known = Os { confidence: known.confidence.max(new.confidence), ..new };
            return true;
        }
        return false;
    }
    if known.confidence >= SURE && new.confidence >= SURE {
        service.facts.insert(OS_DISPUTED.into(), format!("{new} ({source})"));
        return false;
    }
    if new.confidence > known.confidence {
        *known = new;
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(family: &str, product: &str, version: Option<&str>, confidence: f32) -> Os {
        Os { family: family.into(), product: Some(product.into()), version: version.map(Into::into), confidence }
    }

    fn zorb() -> Claim {
        Claim {
            source: "recog own #1".into(),
            vendor: Some("Zorb Inc".into()),
            product: Some("Zorb".into()),
            version: Some("7.1".into()),
            cpe: Some("cpe:2.3:a:zorb:zorb:7.1:*:*:*:*:*:*:*".into()),
            confidence: 0.85,
            ..Claim::default()
        }
    }

    #[test]
    fn the_unknown_is_named_and_the_known_stays() {
        let mut service = Service { product: Some("zorbd".into()), ..Service::default() };
        assert!(zorb().add_to(&mut service));
        assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("Zorb"), Some("7.1")));
        assert_eq!(service.facts["fingerprint"], "recog own #1");
        let known = Service { vendor: Some("F5".into()), product: Some("nginx".into()), ..Service::default() };
        let mut service = known.clone();
        assert!(!zorb().add_to(&mut service));
        assert_eq!(service.product, known.product);
        assert_eq!(service.facts["product.disputed"], "Zorb 7.1 (recog own #1)");
        let mut service =
            Service { vendor: Some("Zorb".into()), product: Some("Zorb server".into()), ..Service::default() };
        assert!(!zorb().add_to(&mut service));
        assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("Zorb server"), Some("7.1")));
        assert!(!service.facts.contains_key("product.disputed"));
    }

    #[test]
    fn one_maker_makes_several_things() {
        let httpd =
            || Service { vendor: Some("Apache".into()), product: Some("Apache httpd".into()), ..Service::default() };
        let claim = |product: &str| Claim {
            vendor: Some("Apache".into()),
            product: Some(product.into()),
            version: Some("9.0.31".into()),
            cpe: Some("cpe:2.3:a:apache:any:9.0.31:*:*:*:*:*:*:*".into()),
            is_behind: true,
            ..zorb()
        };
        for (product, version, behind) in
            [("HTTPD", Some("9.0.31"), 0), ("Tomcat", None, 1), ("Apache Tomcat", None, 1)]
        {
            let mut service = httpd();
            claim(product).add_to(&mut service);
            assert_eq!((service.version.as_deref(), service.behind.len()), (version, behind), "{product}");
        }
    }

    #[test]
    fn systems() {
        for (known, new, expect, disputed) in [
            (None, os("linux", "Debian", Some("12"), 0.8), "Debian 12", false),
            (Some(os("linux", "Debian", None, 0.8)), os("linux", "Debian", Some("12"), 0.7), "Debian 12", false),
            (
                Some(os("linux", "Debian", Some("12"), 0.8)),
                os("linux", "Ubuntu", Some("22.04"), 0.9),
                "Debian 12",
                false,
            ),
            (Some(os("linux", "Debian", Some("12"), 0.9)), os("windows", "Windows", None, 0.9), "Debian 12", true),
            (Some(os("unix", "Unix", None, 0.6)), os("windows", "Windows", None, 0.9), "Windows", false),
            (Some(os("linux", "Debian", None, 0.8)), os("windows", "Windows", None, 0.5), "Debian", false),
        ] {
            let mut service = Service { os: known, ..Service::default() };
            Claim { source: "own".into(), os: Some(new), ..Claim::default() }.add_to(&mut service);
            assert_eq!(service.os.as_ref().map(ToString::to_string).as_deref(), Some(expect));
            assert_eq!(service.facts.contains_key("os.disputed"), disputed, "{expect}");
        }
    }
}
