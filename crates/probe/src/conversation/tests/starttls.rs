//! Protocols that go over to TLS in the middle: on the connection on which they were recognised, with the certificate behind it, and
//! never taking plain text for TLS.

use super::*;
use tokio::io::{AsyncBufReadExt, BufReader};

/// A server of lines: greeting, answers by the first word, and what it does when asked for TLS.
#[derive(Clone, Copy)]
struct Lines {
    greeting: &'static str,
    /// Answers by their first words.
    answers: &'static [(&'static str, &'static str)],
    /// The words after which TLS begins.
    begins: &'static str,
    /// Instead of TLS.
    instead: Option<&'static str>,
}

async fn talk(stream: TcpStream, lines: Lines, acceptor: TlsAcceptor) {
    let mut stream = BufReader::new(stream);
    _ = stream.write_all(lines.greeting.as_bytes()).await;
    let mut line = String::new();
    while let Ok(1..) = stream.read_line(&mut line).await {
        let said = line.trim_end().to_owned();
        line.clear();
        let answer = lines.answers.iter().find(|(words, _)| said.starts_with(words));
        _ = stream.write_all(answer.map_or("500 what?\r\n", |(_, answer)| answer).as_bytes()).await;
        if said == lines.begins {
            if let Some(words) = lines.instead {
                // It waits for the hello, and answers in its own language.
                let mut hello = [0; 64];
                _ = stream.read(&mut hello).await;
                _ = stream.write_all(words.as_bytes()).await;
                return;
            }
            if let Ok(mut secure) = acceptor.accept(stream).await {
                let mut rest = Vec::new();
                _ = secure.read_to_end(&mut rest).await;
                let rest = String::from_utf8_lossy(&rest);
                assert!(rest.contains("QUIT") || rest.contains("LOGOUT"), "it left in order: {rest:?}");
            }
            return;
        }
    }
}

const SMTP: Lines = Lines {
    greeting: "220 mx ESMTP Postfix\r\n",
    answers: &[
        ("EHLO scan-1", "250-mx\r\n250-STARTTLS\r\n250 8BITMIME\r\n"),
        ("STARTTLS", "220 2.0.0 Ready\r\n"),
        ("QUIT", "221 Bye\r\n"),
    ],
    begins: "STARTTLS",
    instead: None,
};

const FTP: Lines = Lines {
    greeting: "220 (vsFTPd 3.0.3)\r\n",
    answers: &[("AUTH TLS", "234 Proceed with negotiation.\r\n"), ("QUIT", "221 Goodbye.\r\n")],
    begins: "AUTH TLS",
    instead: None,
};

async fn start(lines: Lines) -> Server {
    let acceptor = acceptor(BOTH, false);
    Server::start(move |stream| talk(stream, lines, acceptor.clone())).await
}

fn upgraded(observation: &ServiceObservation) -> Option<&str> {
    let tls = observation.tls.as_ref()?;
    assert_eq!(tls.certificate.as_ref().map(|leaf| leaf.sans.as_slice()), Some(&["www.example.org".to_owned()][..]));
    assert_eq!(service(observation).facts.get(STARTTLS), tls.starttls.as_ref());
    tls.starttls.as_deref()
}

#[tokio::test]
async fn a_certificate_behind_starttls_costs_no_connection() {
    let pop3 = Lines {
        greeting: "+OK Dovecot ready.\r\n",
        answers: &[("STLS", "+OK Begin TLS negotiation now.\r\n")],
        begins: "STLS",
        instead: None,
    };
    let imap = Lines {
        greeting: "* OK [CAPABILITY IMAP4rev1 STARTTLS] Dovecot ready.\r\n",
        answers: &[("p1 STARTTLS", "p1 OK Begin TLS negotiation now.\r\n")],
        begins: "p1 STARTTLS",
        instead: None,
    };
    let sieve = Lines {
        greeting: "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"STARTTLS\"\r\nOK \"Dovecot ready.\"\r\n",
        answers: &[("STARTTLS", "OK \"Begin TLS negotiation now.\"\r\n")],
        begins: "STARTTLS",
        instead: None,
    };
    let nntp = Lines {
        greeting: "200 news.example.org InterNetNews NNRP server INN 2.7.1 ready\r\n",
        answers: &[("STARTTLS", "382 Begin TLS negotiation now\r\n")],
        begins: "STARTTLS",
        instead: None,
    };
    let lmtp = Lines {
        greeting: "220 mail Dovecot ready.\r\n",
        answers: &[
            ("EHLO", "502 5.5.2 Unknown command\r\n"),
            ("LHLO", "250-mail\r\n250 STARTTLS\r\n"),
            ("STARTTLS", "220 2.0.0 Begin TLS negotiation now.\r\n"),
        ],
        begins: "STARTTLS",
        instead: None,
    };
    for (name, lines) in
        [("smtp", SMTP), ("ftp", FTP), ("pop3", pop3), ("imap", imap), ("sieve", sieve), ("nntp", nntp), ("lmtp", lmtp)]
    {
        let server = start(lines).await;
        let observation = ask(&server, None).await;
        assert_eq!(service(&observation).name, name);
        assert_eq!(upgraded(&observation), Some(name));
        assert_eq!(observation.connections, 1, "{name}");
        // The second look takes one of its own.
        let (known, roots) = (service(&observation).clone(), Roots::public());
        let ask = Ask { name: None, prior: Some(&known), prior_tls: true, roots: &roots, timeouts: timeouts() };
        let earlier = observation.tls.as_ref().map(Earlier::of);
        let again = identify_known(&dialer(), server.endpoint, ask, earlier).await.observation.expect("it answers");
        let posture = again.tls.as_ref().and_then(|tls| tls.posture.as_ref());
        assert!(posture.is_some_and(|posture| posture.heartbeat == Some(false)), "{again:?}");
        assert_eq!(again.connections, 2, "{name}");
    }
}

#[tokio::test]
async fn what_becomes_of_having_no_certificate_is_told_when_leaving() {
    use model::ClientAuth;
    for (versions, wants, expect) in [
        (&BOTH[..1], true, ClientAuth::Required),
        (&BOTH[1..], true, ClientAuth::Required),
        (&BOTH[..1], false, ClientAuth::No),
    ] {
        let acceptor = acceptor(versions, wants);
        let server = Server::start(move |stream| talk(stream, SMTP, acceptor.clone())).await;
        let observation = ask(&server, None).await;
        assert_eq!(upgraded(&observation), Some("smtp"));
        let posture = observation.tls.as_ref().and_then(|tls| tls.posture.as_ref()).expect("a posture");
        assert_eq!((posture.client_auth, observation.connections), (Some(expect), 1), "{versions:?}");
    }
}

#[tokio::test]
async fn plain_text_after_the_agreement_is_no_tls() {
    for (lines, expect) in [
        (Lines { instead: Some("500 OOPS: SSL: cannot load RSA private key\r\n"), ..FTP }, "ftp"),
        (Lines { instead: Some("554 TLS not available\r\n"), ..SMTP }, "smtp"),
        (
            Lines { answers: &[("AUTH TLS", "234 Proceed.\r\n500 OOPS: SSL: cannot load certificate\r\n")], ..FTP },
            "ftp",
        ),
        (Lines { answers: &[("AUTH TLS", "530 Please login with USER and PASS.\r\n")], begins: "", ..FTP }, "ftp"),
    ] {
        let server = start(lines).await;
        let observation = ask(&server, None).await;
        assert_eq!(service(&observation).name, expect);
        assert!(observation.tls.is_none(), "{observation:?}");
        assert_eq!(service(&observation).facts.get(STARTTLS), None);
        assert_eq!(observation.connections, 1);
    }
}

/// What a server that went over to TLS the last time is asked with.
fn known(name: &str) -> Service {
    let mut service = Service { name: name.into(), ..Service::default() };
    service.facts.insert(STARTTLS.into(), name.into());
    service
}

async fn ask_again(server: &Server, prior: &Service) -> Conversation {
    let roots = Roots::public();
    let ask = Ask { name: None, prior: Some(prior), prior_tls: true, roots: &roots, timeouts: timeouts() };
    identify(&dialer(), server.endpoint, ask).await
}

#[tokio::test]
async fn one_that_is_known_for_it_is_not_spoken_to_in_tls_first() {
    let server = start(SMTP).await;
    let observation = ask_again(&server, &known("smtp")).await.observation.expect("it answers");
    assert_eq!(upgraded(&observation), Some("smtp"));
    assert_eq!(observation.connections, 1);
}

#[tokio::test]
async fn a_certificate_in_doubt_is_not_gone() {
    // It agrees and hangs up; so it does on the connection after that.
    let server = start(Lines { instead: Some(""), ..SMTP }).await;
    let conversation = ask_again(&server, &known("smtp")).await;
    assert!(conversation.observation.is_none(), "{conversation:?}");
    assert_eq!(conversation.ports.len(), 2);
    // It turns us away for the moment, at the door or after it.
    let full = Lines { greeting: "421 Too many FTP connections\r\n", begins: "", ..FTP };
    assert!(ask_again(&start(full).await, &known("ftp")).await.observation.is_none());
    let busy = Lines { answers: &[("AUTH TLS", "431 Unable to accept security mechanism\r\n")], begins: "", ..FTP };
    assert!(ask_again(&start(busy).await, &known("ftp")).await.observation.is_none());
    // It says that it does not do so any more.
    let server = start(Lines { answers: &[("EHLO scan-1", "250-mx\r\n250 8BITMIME\r\n")], begins: "", ..SMTP }).await;
    let observation = ask_again(&server, &known("smtp")).await.observation.expect("it answers");
    assert!(observation.tls.is_none());
    assert_eq!(observation.connections, 1);
    // One that has always done so stays as it is known.
    let server = start(Lines { instead: Some(""), ..SMTP }).await;
    let observation = ask(&server, Some(("smtp", false))).await;
    assert!(observation.tls.is_none());
    assert_eq!(observation.connections, 1);
}

/// Says this to this question, and then speaks TLS.
async fn answer(mut stream: TcpStream, question: Vec<u8>, reply: &'static [u8], acceptor: TlsAcceptor) {
    let mut heard = vec![0; question.len()];
    if stream.read_exact(&mut heard).await.is_err() || heard != question {
        return;
    }
    _ = stream.write_all(reply).await;
    drop(acceptor.accept(stream).await);
}

#[tokio::test]
async fn protocols_whose_question_is_the_upgrade_take_one_connection_when_known() {
    for (name, reply) in [
        ("postgresql", b"S".as_slice()),
        ("ms-wbt-server", b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00"),
    ] {
        let acceptor = acceptor(BOTH, false);
        let asking = Asking { endpoint: Endpoint::tcp(LOOPBACK, 1), name: None, tls: false, agent: "" };
        let question = identify::by_name(model::Transport::Tcp, name).unwrap().request.unwrap()(&asking);
        let server = Server::start(move |stream| answer(stream, question.clone(), reply, acceptor.clone())).await;
        let observation = ask_again(&server, &known(name)).await.observation.expect("it answers");
        assert_eq!(service(&observation).name, name);
        assert_eq!(upgraded(&observation), Some(name));
        assert_eq!(observation.connections, 1, "{name}");
    }
}

#[tokio::test]
async fn a_windows_that_wants_a_login_first_says_which_it_is() {
    const CONFIRM: &[u8] = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00";
    let rdp = identify::by_name(model::Transport::Tcp, "ms-wbt-server").expect("known");
    let asking = Asking { endpoint: Endpoint::tcp(LOOPBACK, 1), name: None, tls: false, agent: "" };
    let question = rdp.request.expect("asked")(&asking);
    let acceptor = acceptor(BOTH, false);
    let server = Server::start(move |mut stream| {
        let (question, acceptor) = (question.clone(), acceptor.clone());
        async move {
            let mut heard = vec![0; question.len()];
            if stream.read_exact(&mut heard).await.is_err() || heard != question {
                return;
            }
            _ = stream.write_all(CONFIRM).await;
            let Ok(mut secure) = acceptor.accept(stream).await else { return };
            let mut request = [0; identify::CREDSSP_NEGOTIATE.len()];
            if secure.read_exact(&mut request).await.is_ok() && request == identify::CREDSSP_NEGOTIATE {
                // Version 10.0.20348, and no names.
                let challenge = b"NTLMSSP\0\x02\0\0\0\0\0\0\0\x38\0\0\0\0\0\0\x02abcdefgh\0\0\0\0\0\0\0\0\0\0\0\0\x38\0\0\0\x0a\0\x7c\x4f\0\0\0\x0f";
                let around = b"\x30\x47\xa0\x03\x02\x01\x06\xa1\x40\x30\x3e\x30\x3c\xa0\x3a\x04\x38";
                _ = secure.write_all(&[around.as_slice(), challenge].concat()).await;
                _ = secure.read(&mut request).await;
            }
        }
    })
    .await;
    let observation = ask_again(&server, &known("ms-wbt-server")).await.observation.expect("it answers");
    let service = service(&observation);
    assert_eq!(service.os.as_ref().map(ToString::to_string).as_deref(), Some("Windows 10.0.20348"));
    assert_eq!((upgraded(&observation), observation.connections), (Some("ms-wbt-server"), 1));
    assert_eq!(service.facts["rdp.security"], "CredSSP");
}

#[tokio::test]
async fn one_recognised_by_its_answer_to_another_question_is_asked_on_a_new_connection() {
    // It says nothing until it is spoken to, and does not understand what it is asked first.
    let irc = Lines {
        greeting: "",
        answers: &[
            ("GET", ":irc.example.org 451 * GET :You have not registered\r\n"),
            ("STARTTLS", ":irc.example.org 670 * :STARTTLS successful\r\n"),
        ],
        begins: "STARTTLS",
        instead: None,
    };
    let server = start(irc).await;
    let observation = ask(&server, None).await;
    assert_eq!(upgraded(&observation), Some("irc"));
    assert_eq!(observation.connections, 2, "one that tells who it is, and one that goes over");
}
