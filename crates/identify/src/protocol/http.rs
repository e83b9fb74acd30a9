//! HTTP/1 (RFC 9112): any response that reads as one, whatever it says of its server.

use super::{Asking, Protocol, Speaker, http_body::Framing, named};
use crate::{
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    md5, text,
};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "http",
    speaker: Speaker::Client,
    ports: &[80, 443, 591, 2375, 3000, 5000, 5985, 7001, 8000, 8008, 8080, 8081, 8088, 8443, 8888, 9000, 9090, 9200, 9443],
    request: Some(request),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 42\r\n\r\n<html><head><title>Hello</title></head></html>",
        b"HTTP/1.1 404 Not Found\r\nServer: zorbd\r\n\r\n",
        b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login?session=4711\r\nContent-Length: 0\r\n\r\n",
    ],
};

/// GET of the root, from one who says who he is and may have another question.
pub(super) fn request(asking: &Asking<'_>) -> Vec<u8> {
    get(asking, "/", "")
}

/// GET of the site's little picture, and no more after that.
pub fn favicon_request(asking: &Asking<'_>) -> Vec<u8> {
    get(asking, "/favicon.ico", "Connection: close\r\n")
}

fn get(asking: &Asking<'_>, path: &str, last: &str) -> Vec<u8> {
    let endpoint = asking.endpoint;
    let host = match (asking.name, endpoint.ip) {
        (Some(name), _) => name.to_string(),
        (None, std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        (None, ip) => ip.to_string(),
    };
    let usual = if asking.tls { 443 } else { 80 };
    let port = if endpoint.port == usual { String::new() } else { format!(":{}", endpoint.port) };
    // The agent comes from our own configuration; a line break in it must still not become a header.
    let agent = text::printable(asking.agent.as_bytes());
    format!("GET {path} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{last}\r\n").into()
}

const MAX_HEADERS: usize = 96;

/// A page without a status line (HTTP/0.9, RFC 1945 §6): so some answer a question that they do not understand. To their own they
/// say more.
fn bare_page(received: Received<'_>) -> Option<Parse> {
    const LONGEST: usize = 14;
    let start: Vec<u8> = received.bytes.iter().take(LONGEST).map(u8::to_ascii_lowercase).collect();
    let pages: [&[u8]; 2] = [b"<!doctype html", b"<html"];
    if pages.iter().any(|page| start.starts_with(page)) {
        return Some(Parse::yes(named("http"), Strength::Weak, Next::Again));
    }
    let may_become = !start.is_empty() && pages.iter().any(|page| page.starts_with(&start));
    (may_become && !received.ended).then_some(Parse::NeedMore)
}

fn parse(received: Received<'_>) -> Parse {
    const START: &[u8] = b"HTTP/1.";
    if let Some(page) = bare_page(received) {
        return page;
    }
    if !received.bytes.starts_with(START) {
        return if received.may_become(START) { Parse::NeedMore } else { Parse::No };
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    let (complete, body) = match config.parse_response(&mut response, received.bytes) {
        Ok(httparse::Status::Complete(length)) => (true, received.bytes.get(length..).unwrap_or_default()),
        Ok(httparse::Status::Partial) => (false, [].as_slice()),
        // The status line may still be fine where the headers are not.
        Err(_) => (true, [].as_slice()),
    };
    let Some(status) = response.code.or_else(|| status(received.bytes)) else {
        return if complete { Parse::No } else { Parse::need_more(received) };
    };
    if !complete && !received.ended {
        return Parse::NeedMore;
    }
    let header = |name: &str| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| text::printable(header.value))
    };
    let framing = Framing::of(status, header("content-length").as_deref(), header("transfer-encoding").as_deref());
    let read = framing.read(body);
    let stays = received.bytes.starts_with(b"HTTP/1.1 ")
        && header("connection").is_none_or(|option| !option.eq_ignore_ascii_case("close"));
    // Another question has to wait for the end of this answer.
    let fits = match framing {
        Framing::Bodiless => true,
        Framing::Length(length) => length <= MOST_PAGE,
        Framing::Chunked => body.len() <= MOST_PAGE,
        Framing::Connection => false,
    };
    let may_show = stays && fits && matches!(status, 200..=299 | 301..=399 | 401..=404);
    let is_text = is_text(header("content-type").as_deref());
    let is_enough = read.used.is_some() || (!may_show && (!is_text || read.content.len() >= ENOUGH));
    if !received.ended && !is_enough {
        return Parse::NeedMore;
    }
    // Not by what happened to come together with the head: how a page is cut into segments changes nothing.
    let most = match (may_show, is_text) {
        (true, _) => 16 * 1024,
        (false, true) => ENOUGH,
        (false, false) => 0,
    };
    let page = read.content.get(..read.content.len().min(most)).unwrap_or_default();
    let after = read.used.filter(|_| may_show).and_then(|used| body.get(used..));
    let icon = after.map_or(Icon::None, |after| icon(Received { bytes: after, ..received }));
    if icon == Icon::Begun && !received.ended {
        return Parse::NeedMore;
    }
    let mut service = Service { name: "http".into(), ..Service::default() };
    let server = header("server").filter(|server| !server.is_empty());
    if let Some(server) = &server {
        fingerprint::name(&mut service, Field::HttpServer, server);
        distribution::read(&mut service, server);
    }
    let mut fact = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            service.facts.insert(key.to_owned(), value);
        }
    };
    fact("http.status", Some(status.to_string()));
    fact("http.title", title(page));
    fact(
        "http.location",
        header("location").map(|location| location.split(['?', '#', ';']).next().unwrap_or("").to_owned()),
    );
    fact("http.powered_by", header("x-powered-by"));
    fact("http.auth", header("www-authenticate").and_then(|value| challenge(&value)));
    fact("http.generator", header("x-generator").or_else(|| generator(page)));
    fact("http.aspnet", header("x-aspnet-version"));
    fact("http.via", header("via"));
    fact("http.type", header("content-type").and_then(|kind| kind.split(';').next().map(str::to_owned)));
    fact("http.hsts", header("strict-transport-security").map(|_| "yes".to_owned()));
    fact("http.login", has_login(page).then(|| "yes".to_owned()));
    let cookies = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("set-cookie"));
    let cookies: BTreeSet<String> = cookies.filter_map(|header| cookie(header.value)).take(16).collect();
    fact("http.cookies", Some(text::printable(cookies.into_iter().collect::<Vec<_>>().join(" ").as_bytes())));
    if let Icon::Known(digest) = &icon {
        fact("http.favicon.md5", Some(digest.clone()));
    }
    name_application(&mut service, response.headers, page);
    let tls = wants_tls(status, page);
    let line = received.bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    service.banner = Some(server.map_or_else(|| text::printable(line), |server| format!("Server: {server}")));
    if let Some(banner) = &mut service.banner {
        *banner = text::printable(banner.as_bytes());
    }
    Parse::yes(
        service,
        Strength::Structure,
        match icon {
            _ if tls => Next::Tls,
            Icon::Unasked if !received.ended => Next::Favicon,
            _ => Next::Nothing,
        },
    )
}

/// The largest page that is read to its end for the sake of another question.
const MOST_PAGE: usize = 24 * 1024;

/// What is known of the little picture.
#[derive(Debug, PartialEq, Eq)]
enum Icon {
    /// It can be asked for on this connection.
    Unasked,
    /// Its answer is on the way.
    Begun,
    /// MD5, as catalogues have it.
    Known(String),
    None,
}

/// The answer after the first one.
fn icon(received: Received<'_>) -> Icon {
    if received.bytes.is_empty() {
        return Icon::Unasked;
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let body = match response.parse(received.bytes) {
        Ok(httparse::Status::Complete(length)) => received.bytes.get(length..).unwrap_or_default(),
        Ok(httparse::Status::Partial) => return Icon::Begun,
        Err(_) => return Icon::None,
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| text::printable(header.value))
    };
    let status = response.code.unwrap_or_default();
    let is_page = header("content-type").is_some_and(|kind| kind.contains("html"));
    let framing = Framing::of(status, header("content-length").as_deref(), header("transfer-encoding").as_deref());
    let read = framing.read(body);
    match read.used {
        _ if status != 200 || is_page => Icon::None,
        Some(_) if read.content.is_empty() => Icon::None,
        Some(_) => Icon::Known(md5::hexadecimal(&read.content)),
        None if framing == Framing::Connection && received.ended && !body.is_empty() => {
            Icon::Known(md5::hexadecimal(body))
        }
        None => Icon::Begun,
    }
}

/// `HTTP/1.1 200…` without the help of a whole header.
fn status(bytes: &[u8]) -> Option<u16> {
    let digits: &[u8; 3] = bytes.get(9..)?.first_chunk()?;
    (bytes.get(8) == Some(&b' ')).then_some(())?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..=999).contains(&code).then_some(code)
}

/// How much of a page is read where no other question follows it: a title, a generator, what an application says in JSON, or the
/// sentence about TLS stand at its beginning.
const ENOUGH: usize = 8 * 1024;

/// Whether a body of this type may hold any of that; one that says no type may.
fn is_text(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| ["text", "html", "json", "xml"].iter().any(|part| kind.contains(part)))
}

/// The page's title, as one line.
fn title(page: &[u8]) -> Option<String> {
    let find =
        |text: &[u8], needle: &[u8]| text.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle));
    let tag = page.get(find(page, b"<title")?..)?;
    let inner = tag.get(tag.iter().position(|&byte| byte == b'>')? + 1..)?;
    let title = inner.get(..find(inner, b"</title")?)?;
    Some(text::printable(title))
}

/// The program that made the page, by its own word.
fn generator(page: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(page);
    let tag = text::after(&text, "<meta name=\"generator\"")?.split('>').next()?;
    let content = text::after(tag, "content=\"")?.split('"').next()?;
    Some(text::printable(content.as_bytes()))
}

/// The page has a field for a password.
fn has_login(page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page).to_ascii_lowercase();
    ["type=\"password\"", "type='password'", "type=password"].iter().any(|field| text.contains(field))
}

/// A cookie's name, which tells what made it; not those that are made up for every visitor.
fn cookie(value: &[u8]) -> Option<String> {
    let name = text::printable(value.split(|byte| *byte == b'=').next()?);
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (!name.is_empty() && name.len() <= 48 && digits < 6).then_some(name)
}

/// `Basic realm="router"` without what changes each time (nonces, opaque tokens).
fn challenge(value: &str) -> Option<String> {
    let scheme = value.split([' ', ',']).next()?;
    let realm = text::after(value, "realm=\"").and_then(|rest| rest.split('"').next());
    Some(realm.map_or_else(|| scheme.to_owned(), |realm| format!("{scheme} realm=\"{realm}\"")))
}

/// What servers say to plain HTTP on a port that speaks TLS.
fn wants_tls(status: u16, page: &[u8]) -> bool {
    const SENTENCES: [&str; 5] = [
        "plain http request was sent to https port",
        "speaking plain http to an ssl-enabled",
        "sent an http request to an https server",
        "this combination of host and port requires tls",
        "this web server is running in ssl mode",
    ];
    let text = String::from_utf8_lossy(page).to_ascii_lowercase();
    (400..500).contains(&status) && SENTENCES.iter().any(|sentence| text.contains(sentence))
}

/// What stands behind the server, by everything else it says; headers and cookies that come and go do not change it.
fn name_application(service: &mut Service, headers: &[httparse::Header<'_>], page: &[u8]) {
    if let Some(title) = service.facts.get("http.title").cloned() {
        fingerprint::application(service, Field::HttpTitle, &title);
    }
    for header in headers {
        let value = text::printable(header.value);
        if header.name.eq_ignore_ascii_case("set-cookie") {
            fingerprint::application(service, Field::HttpCookie, &value);
        } else {
            fingerprint::application(
                service,
                Field::HttpHeader,
                &format!("{}: {value}", text::printable(header.name.as_bytes())),
            );
        }
    }
    let page = String::from_utf8_lossy(page.get(..page.len().min(8 * 1024)).unwrap_or_default());
    fingerprint::application(service, Field::HttpBody, &page);
    for (field, fact) in [(Field::HttpAuth, "http.auth"), (Field::HttpPoweredBy, "http.powered_by")] {
        if let Some(value) = service.facts.get(fact).cloned() {
            fingerprint::application(service, field, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(bytes: &[u8]) -> crate::Answer {
        match parse(Received::ended(bytes)) {
            Parse::Yes(answer) => *answer,
            other => panic!("{other:?} of {}", bytes.escape_ascii()),
        }
    }

    #[test]
    fn a_page_without_a_status_line_asks_for_the_right_question() {
        for (bytes, ended, expect) in [
            (&b"<!DOCTYPE HTML PUBLIC>\n<HTML>"[..], false, true),
            (b"<html><body>no</body>", true, true),
            (b"<?xml version='1.0'?><stream:stream>", true, false),
            (b"<htm", true, false),
        ] {
            let found = match parse(Received { bytes, ended }) {
                Parse::Yes(answer) => (answer.service.name.as_str(), answer.next) == ("http", Next::Again),
                Parse::No | Parse::NeedMore => false,
            };
            assert_eq!(found, expect, "{}", bytes.escape_ascii());
        }
        assert!(matches!(parse(Received { bytes: b"<!doc", ended: false }), Parse::NeedMore));
    }

    #[test]
    fn server_headers() {
        for (server, product, version, os) in [
            ("nginx/1.22.1", Some("nginx"), Some("1.22.1"), None),
            ("nginx", Some("nginx"), None, None),
            ("nginx/1.18.0 (Ubuntu)", Some("nginx"), Some("1.18.0"), Some("Ubuntu")),
            ("Apache/2.4.57 (Debian) OpenSSL/3.0.9", Some("Apache httpd"), Some("2.4.57"), Some("Debian")),
            ("Apache", Some("Apache httpd"), None, None),
            ("lighttpd/1.4.69", Some("lighttpd"), Some("1.4.69"), None),
            ("Caddy", Some("Caddy"), None, None),
            ("SimpleHTTP/0.6 Python/3.11.2", Some("Python http.server"), Some("3.11.2"), None),
            ("Microsoft-IIS/10.0", Some("IIS"), Some("10.0"), Some("Windows")),
            ("Jetty(9.4.50.v20221201)", Some("Jetty"), Some("9.4.50.v20221201"), None),
            ("Acme Web Server/1.2 beta", Some("Acme Web Server"), Some("1.2"), None),
            ("zorbd", Some("zorbd"), None, None),
            ("***", None, None, None),
        ] {
            let answer = yes(format!("HTTP/1.1 200 OK\r\nServer: {server}\r\n\r\n").as_bytes());
            assert_eq!(answer.service.product.as_deref(), product, "{server}");
            assert_eq!(answer.service.version.as_deref(), version, "{server}");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os, "{server}");
            assert_eq!(answer.service.banner, Some(format!("Server: {server}")));
        }
    }

    #[test]
    fn facts() {
        let answer = yes(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"box\", nonce=\"4711\"\r\nX-Powered-By: PHP/8.2.7\r\nLocation: https://www.example.org/login;jsessionid=1?x=2\r\n\r\n<TITLE lang=en>\n Log in </TITLE>");
        let expect = [
            ("http.auth", "Digest realm=\"box\""),
            ("http.location", "https://www.example.org/login"),
            ("http.powered_by", "PHP/8.2.7"),
            ("http.status", "401"),
            ("http.title", "Log in"),
        ];
        let got: Vec<_> = answer.service.facts.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(got, expect);
        assert_eq!(answer.service.banner.as_deref(), Some("HTTP/1.1 401 Unauthorized"));
    }

    #[test]
    fn what_made_the_page() {
        let page = yes(b"HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Type: text/html; charset=utf-8\r\nStrict-Transport-Security: max-age=1\r\n\r\n<meta name=\"generator\" content=\"Zorb 2.1\"><form><input type=\"password\"></form>");
        let fact = |name: &str| page.service.facts.get(name).map(String::as_str);
        assert_eq!(fact("http.cookies"), Some("JSESSIONID b"));
        assert_eq!(fact("http.generator"), Some("Zorb 2.1"));
        assert_eq!(fact("http.login"), Some("yes"));
        assert_eq!(fact("http.hsts"), Some("yes"));
        assert_eq!(fact("http.type"), Some("text/html"));
    }

    #[test]
    fn a_page_is_waited_for_and_no_longer() {
        for (bytes, more) in [
            (b"HTTP/1.1 200 OK\r\nServer: ng".as_slice(), true),
            (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", true),
            // A generator or a form may follow: without a length, the page ends with the connection.
            (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>x</title>", true),
            (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\n\r\n<title>x</title>", false),
            (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", false),
            (b"HTTP/1.1 204 No Content\r\n\r\n", false),
        ] {
            assert_eq!(parse(Received::open(bytes)) == Parse::NeedMore, more, "{}", bytes.escape_ascii());
        }
    }

    /// The first answer to a page that comes in pieces of that many bytes, the end of the connection included.
    fn in_pieces(page: &[u8], piece: usize) -> Parse {
        let ends = (1..=page.len()).filter(|end| end % piece == 0 || *end == page.len());
        let mut said = ends.map(|end| parse(Received::open(page.get(..end).unwrap())));
        said.find(|parse| *parse != Parse::NeedMore).unwrap_or_else(|| parse(Received::ended(page)))
    }

    #[test]
    fn how_a_page_is_cut_changes_nothing() {
        let long = "x".repeat(20_000);
        let html = "<title>Zorb</title><meta name=\"generator\" content=\"Zorb 2\"><input type=\"password\">";
        for (head, body) in [
            ("HTTP/1.0 200 OK\r\nContent-Type: text/html", html.to_owned()),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 87", html.to_owned()),
            ("HTTP/1.1 500 No\r\nContent-Type: text/html\r\nContent-Length: 87", html.to_owned()),
            ("HTTP/1.0 200 OK\r\nContent-Type: text/html", format!("{html}{long}")),
            ("HTTP/1.0 200 OK\r\nContent-Type: text/html", format!("{}{html}{long}", &long[..8150])),
            ("HTTP/1.1 400 No\r\nTransfer-Encoding: chunked", format!("57\r\n{html}\r\n0\r\n\r\n")),
            ("HTTP/1.0 200 OK\r\nContent-Type: image/png", html.to_owned()),
            ("HTTP/1.0 200 OK\r\nContent-Type: text/plain", html.to_owned()),
        ] {
            let page = format!("{head}\r\n\r\n{body}");
            let whole = in_pieces(page.as_bytes(), page.len());
            assert!(matches!(whole, Parse::Yes(_)), "{head}");
            for piece in [1, 7, 61, 536, 1460, 4096] {
                assert_eq!(in_pieces(page.as_bytes(), piece), whole, "{head}, in pieces of {piece}");
            }
        }
    }

    #[test]
    fn the_little_picture() {
        let page = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".as_slice();
        let open = |bytes: &[u8]| parse(Received::open(bytes));
        assert_eq!(open(&page[..page.len() - 1]), Parse::NeedMore);
        let Parse::Yes(answer) = open(page) else { panic!() };
        assert_eq!(answer.next, Next::Favicon);
        let icon = [page, b"HTTP/1.1 200 OK\r\nContent-Type: image/x-icon\r\nContent-Length: 3\r\n\r\nabc"].concat();
        assert_eq!(open(&icon[..icon.len() - 1]), Parse::NeedMore);
        let Parse::Yes(answer) = open(&icon) else { panic!() };
        assert_eq!(answer.service.facts["http.favicon.md5"], "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(answer.next, Next::Nothing);
        for without in [
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nabc",
            b"junk",
        ] {
            let Parse::Yes(answer) = open(&[page, without].concat()) else { panic!() };
            assert!(!answer.service.facts.contains_key("http.favicon.md5"));
            assert_eq!(answer.next, Next::Nothing);
        }
        // Who leaves after each answer, or has too much to say, is not asked.
        for page in [
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999999\r\n\r\n",
        ] {
            let Parse::Yes(answer) = open(page.as_bytes()) else { panic!("{page}") };
            assert_eq!(answer.next, Next::Nothing, "{page}");
        }
    }

    #[test]
    fn plain_http_on_a_tls_port() {
        let page = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>";
        assert_eq!(yes(page).next, Next::Tls);
        assert_eq!(yes(b"HTTP/1.1 400 Bad Request\r\n\r\nno").next, Next::Nothing);
    }

    #[test]
    fn applications_behind_the_server() {
        let jenkins = b"HTTP/1.1 403 Forbidden\r\nServer: Jetty(10.0.18)\r\nX-Jenkins: 2.426.1\r\n\r\n";
        let service = yes(jenkins).service;
        assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("Jetty"), Some("10.0.18")));
        assert_eq!(service.facts["http.application"], "Jenkins");
        assert_eq!(service.facts["http.application_version"], "2.426.1");
        assert_eq!(service.cpe.last().map(String::as_str), Some("cpe:2.3:a:jenkins:jenkins:2.426.1:*:*:*:*:*:*:*"));
        let elastic = b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n\r\n{\"version\":{\"number\":\"8.11.1\",\"lucene_version\":\"9.8.0\"}}";
        let service = yes(elastic).service;
        assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("Elasticsearch"), Some("8.11.1")));
        assert_eq!(service.cpe, ["cpe:2.3:a:elastic:elasticsearch:8.11.1:*:*:*:*:*:*:*"]);
        assert!(!service.facts.contains_key("http.application"));
    }

    #[test]
    fn broken_headers_are_still_http() {
        assert_eq!(yes(b"HTTP/1.1 200 OK\r\n\x01bad\x02 header\r\n\r\n").service.facts["http.status"], "200");
        assert_eq!(yes(b"HTTP/1.0 503").service.facts["http.status"], "503");
    }

    #[test]
    fn the_question() {
        let ask = |text: &str, port, tls, name: Option<&str>| {
            let name = name.map(|name| name.parse().unwrap());
            let endpoint = model::Endpoint::tcp(text.parse().unwrap(), port);
            let asking = Asking { endpoint, name: name.as_ref(), tls, agent: "perimeterd/1 (x\r\nEvil: 1)" };
            String::from_utf8(request(&asking)).unwrap()
        };
        for (text, expect) in [
            (ask("192.0.2.7", 80, false, None), "Host: 192.0.2.7\r\n"),
            (ask("192.0.2.7", 443, true, Some("www.example.org")), "Host: www.example.org\r\n"),
            (ask("2001:db8::7", 8080, false, None), "Host: [2001:db8::7]:8080\r\n"),
        ] {
            assert!(text.contains(expect), "{text}");
            assert!(text.contains("\r\nUser-Agent: perimeterd/1 (x Evil: 1)\r\n"), "{text}");
            assert!(text.ends_with("\r\n\r\n"));
        }
    }
}
