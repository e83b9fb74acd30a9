mod mime;
pub(crate) mod sink;
mod stories;

use super::*;
use crate::{
    channel::tests::empty_config,
    json_line, sample,
    sample::tls::{Authority, named},
};
use config::{EmailChannel, SmtpSecurity};
use mime::read;
use model::{Delivery, Notice};
use proptest::prelude::*;
use sink::{Manner, Sink};
use std::{path::PathBuf, time::Duration};
use tokio::time::timeout;

fn channel_config(security: SmtpSecurity, port: u16, ca_file: Option<PathBuf>) -> EmailChannel {
    EmailChannel {
        security,
        host: "127.0.0.1".into(),
        port,
        from: "perimeterd <perimeterd@example.org>".into(),
        username: None,
        password: None,
        ca_file,
    }
}

fn channel(email: EmailChannel, to: &[&str]) -> Arc<dyn Channel> {
    let mut config = empty_config();
    config.email = Some(email);
    let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
    build("soc", &to, &config, &sample::identity()).expect("a channel")
}

fn plain(sink: &Sink, to: &[&str]) -> Arc<dyn Channel> {
    channel(channel_config(SmtpSecurity::None, sink.port, None), to)
}

async fn deliver(channel: &Arc<dyn Channel>, notices: Vec<Notice>) -> Delivery {
    timeout(Duration::from_secs(20), channel.deliver(&sample::digest(notices))).await.expect("in time")
}

fn answering(answers: impl IntoIterator<Item = (&'static str, Vec<&'static str>)>) -> Manner {
    Manner { answers: answers.into_iter().collect(), ..Manner::default() }
}

#[tokio::test]
async fn the_message_is_whole() {
    let sink = Sink::start(Manner::default()).await;
    let channel = plain(&sink, &["soc@example.org"]);
    let delivered = Delivery::Delivered("250 2.0.0 Ok: queued as 4711".into());
    assert_eq!(deliver(&channel, vec![sample::port_open()]).await, delivered);
    assert_eq!(deliver(&channel, vec![sample::port_open()]).await, delivered);
    let seen = sink.seen();
    assert_eq!(
        seen.commands[..4],
        ["EHLO scan1.example.net", "MAIL FROM:<perimeterd@example.org>", "RCPT TO:<soc@example.org>", "DATA"]
    );
    let (mail, again) = (read(&seen.messages[0]), read(&seen.messages[1]));
    for (name, expect) in [
        ("From", "perimeterd <perimeterd@example.org>"),
        ("To", "soc@example.org"),
        ("Subject", "[perimeterd dmz] 1 high: 1 port opened (10:00-10:05 UTC)"),
        ("Date", "Sat, 21 Nov 2026 10:05:03 +0000"),
        ("Message-ID", "<soc.4711-4711@scan1.example.net>"),
        ("In-Reply-To", "<soc.2026-11-21@scan1.example.net>"),
        ("References", "<soc.2026-11-21@scan1.example.net>"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("List-Id", "<soc.perimeterd.scan1.example.net>"),
        ("X-perimeterd-Alerts", "1"),
        ("X-perimeterd-Window", "2026-11-21T10:00:00Z/2026-11-21T10:05:00Z"),
        ("X-perimeterd-Max-Severity", "4"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(mail.header(name), expect, "{name}");
    }
    assert_eq!(mail.header("Message-ID"), again.header("Message-ID"));
    let kinds: Vec<&str> = mail.parts.iter().map(|(kind, ..)| kind.split(';').next().expect("a type")).collect();
    assert_eq!(kinds, ["text/plain", "text/html", "application/x-ndjson"], "text first");
    assert!(mail.parts[..2].iter().all(|(kind, encoding, _)| kind.contains("utf-8") && encoding == "quoted-printable"));
    let text = &mail.parts[0].2;
    assert!(text.starts_with("192.0.2.7 opened 3389/tcp (ms-wbt-server) (high).\r\n"), "{text}");
    for expect in [
        "192.0.2.7  www.example.org  Debian 12",
        "[HIGH] 192.0.2.7 opened 3389/tcp (ms-wbt-server)",
        "change    closed → open",
        "since     2026-11-21 10:05:03 UTC",
        "because   connected twice",
        "evidence  2026-11-21 10:05:03 UTC: connected",
        "rule      open-not-web (profile dmz)",
        "Look further: perimeterd host 192.0.2.7",
        "min_severity and every of [recipient.soc]",
    ] {
        assert!(text.contains(expect), "{expect}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(mail.parts[2].2.trim_end(), json_line(&sample::port_open()));
}

#[tokio::test]
async fn encrypted_from_the_start_or_by_starttls() {
    let authority = Authority::new("Ours");
    for security in [SmtpSecurity::Tls, SmtpSecurity::StartTls] {
        let acceptor = Some(authority.acceptor(&named("127.0.0.1")));
        let manner = match security {
            SmtpSecurity::Tls => Manner { implicit_tls: acceptor, ..Manner::default() },
            _ => Manner { starttls: acceptor, ..Manner::default() },
        };
        let sink = Sink::start(manner).await;
        let channel = channel(channel_config(security, sink.port, Some(authority.file())), &["soc@example.org"]);
        let answer = deliver(&channel, vec![sample::port_open()]).await;
        assert!(matches!(answer, Delivery::Delivered(_)), "{security:?} {answer:?}");
        assert!(sink.seen().encrypted);
    }
}

#[tokio::test]
async fn starttls_is_never_done_without() {
    let sink = Sink::start(Manner::default()).await;
    let channel = channel(channel_config(SmtpSecurity::StartTls, sink.port, None), &["soc@example.org"]);
    let answer = deliver(&channel, vec![sample::port_open()]).await;
    let Delivery::RetryAfter { reason, .. } = answer else { panic!("{answer:?}") };
    assert!(reason.contains("STARTTLS is not supported"), "{reason}");
    assert!(sink.seen().messages.is_empty() && !sink.seen().commands.iter().any(|command| command.starts_with("MAIL")));
}

#[tokio::test]
async fn a_strangers_certificate_is_named() {
    let (authority, stranger) = (Authority::new("Ours"), Authority::new("Another"));
    let manner = Manner { implicit_tls: Some(stranger.acceptor(&named("127.0.0.1"))), ..Manner::default() };
    let sink = Sink::start(manner).await;
    let config = channel_config(SmtpSecurity::Tls, sink.port, Some(authority.file()));
    let answer = deliver(&channel(config, &["soc@example.org"]), vec![sample::port_open()]).await;
    let Delivery::RetryAfter { reason, .. } = answer else { panic!("{answer:?}") };
    let expect = "the certificate of 127.0.0.1 is not accepted: no authority we trust has signed it";
    assert!(reason.contains(expect), "{reason}");
}

#[tokio::test]
async fn answers_are_judged_by_what_they_are_about() {
    #[derive(Debug, PartialEq)]
    enum Judged {
        Later,
        Never,
    }
    for (command, answer, expect) in [
        ("RCPT", "450 4.2.0 greylisted", Judged::Later),
        ("RCPT", "550 5.1.1 no such user", Judged::Never),
        ("MAIL", "452 4.3.1 out of space", Judged::Later),
        // Of us, not of the addresses: the next digest would fare the same, and whoever puts it right wants this one too.
        ("RCPT", "554 5.7.1 relay access denied", Judged::Later),
        ("RCPT", "530 5.7.57 client was not authenticated", Judged::Later),
        ("MAIL", "550 5.7.1 sender rejected", Judged::Later),
        ("MAIL", "553 5.1.7 no such sender", Judged::Later),
        ("MAIL", "530 5.7.0 authentication required", Judged::Later),
        ("DATA", "451 4.3.0 try later", Judged::Later),
        ("DATA", "554 5.6.0 content rejected", Judged::Never),
        ("DATA", "554 5.7.1 looks like spam", Judged::Never),
        ("EHLO", "554 5.7.1 blocked", Judged::Later),
    ] {
        let sink = Sink::start(answering([(command, vec![answer])])).await;
        let answered = deliver(&plain(&sink, &["soc@example.org"]), vec![sample::port_open()]).await;
        let (judged, reason) = match answered {
            Delivery::RetryAfter { reason, .. } => (Judged::Later, reason),
            Delivery::Refused(reason) => (Judged::Never, reason),
            Delivery::Delivered(reason) | Delivery::Partly { answer: reason, .. } => {
                panic!("{command} {answer}: {reason}")
            }
        };
        assert_eq!(judged, expect, "{command} {answer}");
        let (code, words) = answer.split_once(' ').expect("a code");
        assert!(reason.contains(code) && reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn each_address_is_judged_by_itself_and_none_gets_it_twice() {
    let to = ["a@example.org", "b@example.org", "c@example.org"];
    let sink = Sink::start(answering([
        ("RCPT TO:<b@example.org>", vec!["451 later", "250 ok"]),
        ("RCPT TO:<c@example.org>", vec!["550 no such user"]),
    ]))
    .await;
    let channel = plain(&sink, &to);
    let first = deliver(&channel, vec![sample::port_open()]).await;
    let Delivery::RetryAfter { reason, .. } = first else { panic!("{first:?}") };
    assert!(reason.contains("b@example.org: 451") && !reason.contains("c@example.org"), "{reason}");
    assert_eq!(sink.seen().messages.len(), 1, "the others need not wait");
    let second = deliver(&channel, vec![sample::port_open()]).await;
    let Delivery::Partly { missed, .. } = second else { panic!("{second:?}") };
    assert!(missed.contains("c@example.org refused: 550") && !missed.contains("b@"), "{missed}");
    let asked: Vec<String> = sink.seen().commands.into_iter().filter(|command| command.starts_with("RCPT")).collect();
    let expect: Vec<String> = ["a", "b", "c", "b"].iter().map(|who| format!("RCPT TO:<{who}@example.org>")).collect();
    assert_eq!(asked, expect);
}

#[tokio::test]
async fn a_full_mailbox_holds_its_colleagues_up_for_an_hour_at_most() {
    let full = vec!["452 4.2.2 mailbox full"; 9];
    let sink = Sink::start(answering([("RCPT TO:<b@example.org>", full)])).await;
    let channel = plain(&sink, &["a@example.org", "b@example.org"]);
    assert!(matches!(deliver(&channel, vec![sample::port_open()]).await, Delivery::RetryAfter { .. }));
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_mins(61)).await;
    tokio::time::resume();
    let answer = deliver(&channel, vec![sample::port_open()]).await;
    let Delivery::Partly { missed, .. } = answer else { panic!("{answer:?}") };
    assert!(missed.contains("b@example.org: 452"), "{missed}");
    assert_eq!(sink.seen().messages.len(), 1, "who has it does not get it twice");

    // The next digest goes to the others at once.
    let mut next = sample::digest(vec![sample::port_open()]);
    next.id = "another".to_owned();
    let answer = channel.deliver(&next).await;
    assert!(matches!(answer, Delivery::Partly { .. }), "{answer:?}");
    assert_eq!(sink.seen().messages.len(), 2);
}

#[tokio::test]
async fn a_dead_server_is_named() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        listener.local_addr().expect("an address").port()
    };
    let channel = channel(channel_config(SmtpSecurity::None, port, None), &["soc@example.org"]);
    let reason = format!("smtp://127.0.0.1:{port}: 127.0.0.1 refused the connection; is the server running?");
    assert_eq!(deliver(&channel, vec![sample::port_open()]).await, Delivery::RetryAfter { after: None, reason });
    assert_eq!(channel.describe(), format!("soc@example.org via smtp://127.0.0.1:{port}"));
}

#[tokio::test]
async fn what_is_missing_is_said_and_what_is_wrong_is_refused() {
    let mut config = empty_config();
    let to = ["soc@example.org".to_owned()];
    for (username, expect) in [
        (None, "there is no [channel.email]: e-mail needs smtp = … and from = …"),
        (Some("perimeterd"), "[channel.email]: user perimeterd has no password; check password_file"),
    ] {
        if username.is_some() {
            let mut email = channel_config(SmtpSecurity::Tls, 465, None);
            email.username = username.map(str::to_owned);
            config.email = Some(email);
        }
        let channel = build("soc", &to, &config, &sample::identity()).expect("a channel that waits");
        let reason = expect.to_owned();
        assert_eq!(deliver(&channel, vec![sample::port_open()]).await, Delivery::RetryAfter { after: None, reason });
    }
    let error = build("soc", &["soc at example".to_owned()], &config, &sample::identity()).expect_err("no address");
    assert!(error.to_string().contains("`soc at example` is not an e-mail address"), "{error}");
}

#[test]
fn the_attachment_ends_with_a_whole_line_before_a_mebibyte() {
    let notices: Vec<Notice> = (1..=3000)
        .map(|seq| {
            let mut notice = sample::port_open();
            notice.seq = seq;
            notice
        })
        .collect();
    let message = rendered(notices);
    let mail = read(&message);
    let attached = mail.parts[2].2.replace("\r\n", "\n").trim_end().to_owned();
    assert!(attached.len() <= message::ATTACHMENT && attached.len() > message::ATTACHMENT - 4096);
    assert!(attached.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let text = &mail.parts[0].2;
    let holds = format!("holds the first {} of 3000", attached.lines().count());
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(&holds), "{text}");
}

fn rendered(notices: Vec<Notice>) -> String {
    let email = Email {
        from: "perimeterd@example.org".parse().expect("an address"),
        to: vec!["soc@example.org".parse().expect("an address")],
        server: Server {
            security: SmtpSecurity::None,
            host: "127.0.0.1".into(),
            port: 25,
            ca_file: None,
            credentials: None,
        },
        values: BTreeMap::new(),
        identity: sample::identity(),
        progress: Mutex::default(),
    };
    let message = email.message(&sample::digest(notices)).expect("a message").formatted();
    String::from_utf8(message).expect("UTF-8")
}

/// Tags that stand in `html`, by name.
fn tags(html: &str) -> std::collections::BTreeSet<String> {
    html.split('<')
        .skip(1)
        .map(|rest| {
            rest.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hostile_notices_stay_inside_their_places(notices in proptest::collection::vec(sample::hostile(), 1..4)) {
        let marked = notices.iter().any(|notice| notice.test);
        let mail = read(&rendered(notices.clone()));
        let names: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, [
            "From", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "To", "Auto-Submitted",
            "X-Auto-Response-Suppress", "List-Id", "X-perimeterd-Alerts", "X-perimeterd-Window",
            "X-perimeterd-Max-Severity", "MIME-Version", "Content-Type",
        ]);
        let subject = mail.header("Subject");
        prop_assert!(subject.starts_with("[perimeterd") && subject.is_ascii() && subject.len() < 200);
        prop_assert_eq!(subject.contains("TEST"), marked);
        prop_assert_eq!(mail.parts.len(), 3);
        for (_, _, text) in &mail.parts {
            prop_assert!(!text.chars().any(|c| c != '\n' && c != '\r' && crate::plain::is_unseen(c)));
        }
        let html = &mail.parts[1].2;
        let known = ["!DOCTYPE", "html", "head", "meta", "title", "body", "p", "table", "tr", "td", "b", "br", "span", "code"];
        for tag in tags(html) {
            prop_assert!(known.contains(&tag.as_str()), "<{}>", tag);
        }
        prop_assert_eq!(mail.parts[2].2.trim_end().lines().count(), notices.len());
    }
}
