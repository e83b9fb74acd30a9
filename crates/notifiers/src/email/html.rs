//! The HTML part: the text part's content with inline styles only, nothing loaded from anywhere, and no colour that would vanish
//! on a dark or on a light ground.

use super::{
    story::{Entry, Story},
    subject::types,
    text::{answer, details, notes},
};
use crate::{
    Digest,
    plain::{line, moment},
    sentence::{sentence, told},
};
use model::Severity;
use std::fmt::Write as _;

const FONT: &str =
    "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:14px;line-height:1.45";
const RULE: &str = "border-top:1px solid #8a8f98";

pub(super) fn body(story: &Story<'_>, digest: &Digest, attached: usize) -> String {
    let mut html = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">\
         <meta name=\"format-detection\" content=\"telephone=no,address=no,date=no,url=no\"><title>perimeterd</title></head>\n",
    );
    let sensor = digest.notices.first().map(|notice| line(&notice.event.sensor.0, 60)).unwrap_or_default();
    let _ = write!(
        html,
        "<body style=\"margin:0;padding:16px;{FONT}\">\n<p style=\"margin:0 0 4px;font-size:17px;font-weight:600\">{}</p>\n\
         <p style=\"margin:0 0 16px;opacity:.75\">{} to {}, seen by sensor {}</p>\n",
        escape(&answer(story)),
        moment(story.from),
        moment(story.to),
        escape(&sensor),
    );
    for block in &story.blocks {
        let _ = write!(
            html,
            "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"{RULE};margin:0 0 20px;{FONT}\">\n\
             <tr><td colspan=\"2\" style=\"padding:8px 0;font-size:15px;font-weight:600\">{}</td></tr>\n",
            escape(&block.title),
        );
        for entry in &block.entries {
            entry_html(&mut html, entry);
        }
        if let Some(ip) = block.ip {
            let _ = writeln!(
                html,
                "<tr><td></td><td style=\"padding:2px 0 4px;opacity:.75\">Look further: <code>perimeterd host {ip}</code></td></tr>"
            );
        }
        html.push_str("</table>\n");
    }
    if !story.left_out.is_empty() {
        let number: usize = story.left_out.iter().map(|(_, number)| number).sum();
        let types = escape(&types(&story.left_out, usize::MAX));
        let _ = writeln!(html, "<p>And {number} more, not shown one by one: {types}.</p>");
    }
    let notes: Vec<String> = notes(story, digest, attached).iter().map(|note| escape(note)).collect();
    let _ = write!(
        html,
        "<p style=\"{RULE};padding:8px 0;font-size:12px;opacity:.75\">{}</p>\n</body></html>\n",
        notes.join("<br>\n")
    );
    html
}

fn entry_html(html: &mut String, entry: &Entry<'_>) {
    let notice = entry.notice;
    let _ = write!(
        html,
        "<tr><td width=\"84\" valign=\"top\" style=\"padding:4px 8px 4px 0\">{}</td><td style=\"padding:4px 0\"><b>{}</b>",
        badge(notice.alert.severity),
        escape(&told(notice)),
    );
    for (label, value) in details(notice) {
        let _ = write!(html, "<br>\n<span style=\"opacity:.75\">{label}</span> {}", escape(&value));
    }
    html.push_str("</td></tr>\n");
    for effect in &entry.effects {
        let rules = line(&effect.alert.rules.join(", "), 300);
        let _ = writeln!(
            html,
            "<tr><td></td><td style=\"padding:2px 0 2px 12px;border-left:3px solid #8a8f98\">{} {} \
             <span style=\"opacity:.75\">{}</span></td></tr>",
            badge(effect.alert.severity),
            escape(&sentence(&effect.event)),
            escape(&rules),
        );
    }
}

/// Ground and letters are both given, so that a mail reader's dark mode cannot make one swallow the other.
fn badge(severity: Severity) -> String {
    let ground = match severity.get() {
        1 => "#5b6470",
        2 => "#2563a8",
        3 => "#8a6100",
        4 => "#b4450b",
        _ => "#a3122a",
    };
    format!(
        "<span style=\"display:inline-block;padding:1px 8px;border-radius:9px;background-color:{ground};color:#ffffff;\
         font-size:11px;font-weight:700;white-space:nowrap\">{}</span>",
        severity.word().to_uppercase()
    )
}

/// Text as text, in content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
