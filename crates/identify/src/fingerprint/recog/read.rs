//! Recog's XML.

use super::{Database, Example, Fingerprint, Parameter, Parameters, base64};
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};
use std::sync::OnceLock;

/// Why a file gives no fingerprints: who wrote it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecogError {
    #[error("line {line}: it is not XML that can be read: {why}")]
    Xml { line: usize, why: String },
    #[error("there is no `fingerprints` in it: this is no file of Recog's")]
    NotRecog,
    #[error("line {line}: {what}")]
    Odd { line: usize, what: String },
}

/// Deeper than Recog's four.
const DEEPEST: usize = 16;
const MOST_PARAMETERS: usize = 64;

impl Database {
    /// Reads the text of a file called `name` (without its ending).
    pub fn read(name: &str, text: &str) -> Result<Self, RecogError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut file = File::default();
        let mut depth = 0_usize;
        loop {
            let event = reader.read_event();
            let line = || {
                1 + text
                    .bytes()
                    .take(usize::try_from(reader.buffer_position()).unwrap_or(0))
                    .filter(|byte| *byte == b'\n')
                    .count()
            };
            let odd = |what: String| RecogError::Odd { line: line(), what };
            let not_xml = |why: &dyn std::fmt::Display| RecogError::Xml { line: line(), why: why.to_string() };
            match event.map_err(|error| not_xml(&error))? {
                Event::Start(tag) => {
                    depth += 1;
                    if depth > DEEPEST {
                        return Err(odd("elements within elements within elements".to_owned()));
                    }
                    file.open(&tag).map_err(odd)?;
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    file.close(tag.name().as_ref()).map_err(odd)?;
                }
                Event::Text(text) => file.content(&text.xml10_content()),
                Event::CData(text) => file.content(&text.xml10_content()),
                Event::GeneralRef(reference) => file.content(&resolved(&reference).map_err(odd)?),
                Event::DocType(_) => return Err(odd("a DOCTYPE, which Recog's files do not have".to_owned())),
                Event::Eof if depth > 0 => return Err(odd("it ends in the middle".to_owned())),
                Event::Eof => break,
                _ => {}
            }
        }
        if !file.is_recog {
            return Err(RecogError::NotRecog);
        }
        // Classes of characters beyond ASCII are met in titles only; everything else is bytes.
        let unicode = file.matches.as_deref() == Some("html_title");
        for fingerprint in &mut file.fingerprints {
            fingerprint.unicode = unicode;
        }
        Ok(Self::new(name, file.matches, file.protocol, file.fingerprints))
    }
}

#[derive(Debug, Default)]
struct File {
    is_recog: bool,
    matches: Option<String>,
    protocol: Option<String>,
    fingerprints: Vec<Fingerprint>,
    current: Option<Fingerprint>,
    /// The example under way, and how its value is written.
    example: Option<(Parameters, Option<String>)>,
    /// What stands between the tags of an example or a description.
    text: String,
}

impl File {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let attributes = attributes(tag)?;
        let find = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let name = tag.name();
        self.text.clear();
        match name.as_ref() {
            "fingerprints" => {
                self.is_recog = true;
                (self.matches, self.protocol) = (find("matches"), find("protocol"));
            }
            "fingerprint" if self.is_recog => {
                let pattern = find("pattern").ok_or("a fingerprint without a pattern")?;
                let flags = find("flags").unwrap_or_default();
                let certainty =
                    find("certainty").map(|value| value.parse::<f32>().map_err(|_| format!("certainty is `{value}`")));
                let mut fingerprint = Fingerprint {
                    pattern,
                    description: String::new(),
                    certainty: certainty.transpose()?,
                    examples: Vec::new(),
                    dot_all: false,
                    ignore_case: false,
                    unicode: false,
                    parameters: Vec::new(),
                    compiled: OnceLock::new(),
                };
                for flag in flags.split([',', '|', ' ']).filter(|flag| !flag.is_empty()) {
                    match flag {
                        "REG_ICASE" | "IGNORECASE" => fingerprint.ignore_case = true,
                        "REG_DOT_NEWLINE" | "REG_MULTILINE" | "REG_LINE_ANY_CRLF" | "MULTILINE" => {
                            fingerprint.dot_all = true;
                        }
                        _ => return Err(format!("`{flag}` is no flag of Recog's")),
                    }
                }
                fingerprint
                    .parse()
                    .map_err(|error| format!("the pattern `{}` cannot be read: {error}", fingerprint.pattern))?;
                self.current = Some(fingerprint);
            }
            "example" => {
                let encoding = find("_encoding");
                let expect = attributes.into_iter().filter(|(name, _)| !name.starts_with('_')).collect();
                self.example = Some((expect, encoding));
            }
            "param" => {
                let current = self.current.as_mut().ok_or("a parameter outside a fingerprint")?;
                let position = find("pos").ok_or("a parameter without `pos`")?;
                let parameter = Parameter {
                    position: position.parse().map_err(|_| format!("`pos` is `{position}`"))?,
                    name: find("name").ok_or("a parameter without a name")?,
                    value: find("value").unwrap_or_default(),
                };
                if current.parameters.len() >= MOST_PARAMETERS {
                    return Err("a fingerprint with more than 64 parameters".to_owned());
                }
                current.parameters.push(parameter);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Result<(), String> {
        match name {
            "description" => {
                if let Some(current) = &mut self.current {
                    current.description = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
                }
            }
            "example" => {
                let (expect, encoding) = self.example.take().ok_or("an example that ends before it begins")?;
                let text = std::mem::take(&mut self.text);
                let value = match encoding.as_deref() {
                    None => text.into_bytes(),
                    Some("base64") => base64::decode(&text).ok_or("an example that is not base64")?,
                    Some(other) => return Err(format!("`{other}` is no encoding of Recog's")),
                };
                if let Some(current) = &mut self.current {
                    current.examples.push(Example { value, expect });
                }
            }
            "fingerprint" => self.fingerprints.extend(self.current.take()),
            _ => {}
        }
        Ok(())
    }

    fn content(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

fn attributes(tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    let read = |attribute: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
        let attribute = attribute.map_err(|error: quick_xml::events::attributes::AttrError| error.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        Ok((attribute.key.as_ref().to_owned(), value.into_owned()))
    };
    tag.attributes().map(read).collect()
}

/// A character by its number or by one of XML's five names.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(char) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(char.to_string());
    }
    let name: &str = reference;
    quick_xml::escape::resolve_xml_entity(name)
        .map(str::to_owned)
        .ok_or_else(|| format!("`&{name};` is no entity of XML's"))
}
