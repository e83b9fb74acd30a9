//! The MIME message (RFC 5322, RFC 2046): headers that machines keep to, and the three parts.

use super::{html, smtp::Email, story::Story, subject::subject, text};
use crate::{Digest, json_line};
use lettre::{
    Message,
    message::{
        Attachment, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use std::time::SystemTime;

/// The attachment's size at most, in bytes before encoding.
pub(super) const ATTACHMENT: usize = 1 << 20;

impl Email {
    /// The digest as a message, the same every time but for its Date and its MIME boundaries. The error is a sentence.
    pub(super) fn message(&self, digest: &Digest) -> Result<Message, String> {
        let story = Story::of(digest, &self.values);
        let (lines, attached) = attachment(digest);
        let host = &self.identity.host;
        let recipient = token(&digest.recipient);
        // Never sent itself: mail readers gather what refers to it, which makes a thread of a recipient's day.
        let root = format!("<{recipient}.{}@{host}>", digest.to.strftime("%Y-%m-%d"));
        let worst = story.severities.first().map_or(1, |(severity, _)| severity.get());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(subject(&story, digest))
            .date(SystemTime::from(self.identity.clock.now()))
            .message_id(Some(format!("<{}@{host}>", token(&digest.id))))
            .in_reply_to(root.clone())
            .references(root);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        for (name, value) in [
            // RFC 3834: nobody's vacation notice shall answer this.
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("X-Auto-Response-Suppress", "All".to_owned()),
            // RFC 2919: what filters go by.
            ("List-Id", format!("<{recipient}.perimeterd.{host}>")),
            ("X-perimeterd-Alerts", digest.notices.len().to_string()),
            ("X-perimeterd-Window", format!("{}/{}", digest.from, digest.to)),
            ("X-perimeterd-Max-Severity", worst.to_string()),
        ] {
            builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        }
        let part = |kind: ContentType, body: String| {
            SinglePart::builder().header(kind).header(ContentTransferEncoding::QuotedPrintable).body(body)
        };
        let bodies = MultiPart::alternative()
            .singlepart(part(ContentType::TEXT_PLAIN, text::body(&story, digest, attached)))
            .singlepart(part(ContentType::TEXT_HTML, html::body(&story, digest, attached)));
        let json = ContentType::parse("application/x-ndjson; charset=utf-8").map_err(|error| error.to_string())?;
        let parts = MultiPart::mixed()
            .multipart(bodies)
            .singlepart(Attachment::new("alerts.jsonl".to_owned()).body(lines, json));
        builder.multipart(parts).map_err(|error| format!("the message could not be made: {error}"))
    }
}

/// As many whole lines as fit, and their number.
fn attachment(digest: &Digest) -> (String, usize) {
    let mut lines = String::new();
    let mut attached = 0;
    for notice in &digest.notices {
        let line = json_line(notice);
        if lines.len() + line.len() + 1 > ATTACHMENT {
            break;
        }
        lines.push_str(&line);
        lines.push('\n');
        attached += 1;
    }
    (lines, attached)
}

/// What may stand in a Message-ID or a List-Id without quotes.
fn token(text: &str) -> String {
    let token: String = text
        .chars()
        .take(120)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' })
        .collect();
    let token = token.trim_matches('.').replace("..", ".");
    if token.is_empty() { "digest".to_owned() } else { token }
}
