use super::*;
use crate::fingerprint::name;
use model::Service;

/// `PRODUCT [VERSION][ on SYSTEM]`.
fn outcome(service: &Service) -> String {
    let os = service.os.as_ref().map(|os| format!("on {os}"));
    [service.product.clone(), service.version.clone(), os].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_rule_says_what_its_examples_promise() {
    let builtin = builtin();
    let mut examples = 0;
    for (field, index, rule) in builtin.rules() {
        assert!(!rule.examples.is_empty(), "{field}: {} has no example", rule.pattern);
        for (value, expect) in &rule.examples {
            let (patterns, _) = &builtin.sets[&field];
            let first = patterns.first(value.as_bytes()).map(|(index, _)| index);
            assert_eq!(first, Some(index), "{field}: {value} goes to another rule than {}", rule.pattern);
            let mut service = Service::default();
            assert!(name(&mut service, field, value));
            assert_eq!(outcome(&service), *expect, "{field}: {value}");
            examples += 1;
        }
    }
    let (products, rules) = builtin.counts();
    assert!(products >= 150 && rules >= 130 && examples >= rules, "{products} products, {rules} rules, {examples}");
}

#[test]
fn a_rule_names_a_product_or_a_word() {
    for (field, _, rule) in builtin().rules() {
        assert!(rule.product.is_some() != rule.pattern.contains("?<word>"), "{field}: {}", rule.pattern);
        if let Some(os) = &rule.os {
            assert!(os.confidence > 0.0 && os.confidence <= 1.0 && os.family == os.family.to_lowercase());
        }
    }
}

#[test]
fn products_are_what_the_dictionary_allows() {
    for (word, product) in builtin().products() {
        assert_eq!(*word, word.to_ascii_lowercase());
        let Some(name) = product.cpe(Some("1.0")) else {
            assert!(product.cpe.is_none(), "{word}");
            continue;
        };
        // Colons behind a backslash are values.
        let parts = name.replace("\\:", "").split(':').count();
        assert_eq!(parts, 13, "{name}");
        assert!(["cpe:2.3:a:", "cpe:2.3:o:", "cpe:2.3:h:"].iter().any(|start| name.starts_with(start)), "{name}");
    }
}

#[test]
fn versions_of_the_dictionary() {
    for (word, version, expect) in [
        ("openssh", Some("9.2p1"), "cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*"),
        ("openssh", None, "cpe:2.3:a:openbsd:openssh:*:*:*:*:*:*:*:*"),
        ("cyrus", Some("3.6.1-4+deb12u3"), "cpe:2.3:a:cyrus:imap:3.6.1:*:*:*:*:*:*:*"),
        ("proftpd", Some("1.3.8~rc+1"), "cpe:2.3:a:proftpd:proftpd:1.3.8\\~rc\\+1:*:*:*:*:*:*:*"),
        ("routeros", Some("6.49.10"), "cpe:2.3:o:mikrotik:routeros:6.49.10:*:*:*:*:*:*:*"),
        ("joomla", None, "cpe:2.3:a:joomla:joomla\\!:*:*:*:*:*:*:*:*"),
        ("cisco ios", Some("15.0(2)SE11"), "cpe:2.3:o:cisco:ios:15.0\\(2\\)se11:*:*:*:*:*:*:*"),
    ] {
        let product = builtin().product(word).unwrap();
        assert_eq!(product.cpe(version).as_deref(), Some(expect));
    }
}

#[test]
fn faults_of_a_rule_file_are_told() {
    let products = "a = { vendor = \"V\", name = \"A\" }";
    for (text, expect) in [
        ("fields = [\"no.such\"]\nrule = []", "no field is called no.such"),
        ("fields = [\"line\"]\n[[rule]]\npattern = '('\nproduct = \"a\"\nexamples = []", "line: "),
        ("fields = [\"line\"]\n[[rule]]\npattern = 'x'\nproduct = \"b\"\nexamples = []", "b is not in products.toml"),
        ("fields = [\"line\"]\n[[rule]]\npatern = 'x'\nexamples = []", "patern"),
    ] {
        let fault = Builtin::compile(products, &[("own", text)]).unwrap_err();
        assert!(fault.contains(expect), "{fault}");
    }
}
