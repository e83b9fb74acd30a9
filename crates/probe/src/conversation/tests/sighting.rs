//! What a service said lately is not asked again where asking leaves a line in its log.

use super::*;
use std::sync::Mutex;

async fn ask_again(server: &Server, prior: &Service, hours: i64) -> ServiceObservation {
    let roots = Roots::public();
    let ask = Ask { name: None, prior: Some(prior), prior_tls: false, roots: &roots, timeouts: timeouts() };
    let at = SystemClock.now().checked_sub(jiff::SignedDuration::from_hours(hours)).unwrap();
    let before = Before { sighting: Some(Sighting { at, service: Arc::new(prior.clone()) }), ..Before::default() };
    identify_again(&dialer(), server.endpoint, ask, before).await.observation.unwrap()
}

#[tokio::test]
async fn a_sites_picture_is_asked_once_a_day_and_when_the_page_has_changed() {
    let title = Arc::new(Mutex::new("Zorb"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (shown, count) = (Arc::clone(&title), Arc::clone(&asked));
    let server = Server::start(move |mut stream| {
        let (shown, count) = (Arc::clone(&shown), Arc::clone(&count));
        async move {
            loop {
                let request = request(&mut stream).await;
                let answer = if request.starts_with("GET /favicon.ico ") {
                    count.fetch_add(1, Ordering::SeqCst);
                    "HTTP/1.1 200 OK\r\nContent-Type: image/x-icon\r\nContent-Length: 3\r\n\r\nabc".to_owned()
                } else if request.is_empty() {
                    return;
                } else {
                    let page = format!("<title>{}</title>", shown.lock().unwrap());
                    let length = page.len();
                    format!("HTTP/1.1 200 OK\r\nServer: zorbd/1.4\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{page}")
                };
                _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let first = service(&ask(&server, None).await).clone();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // A look of a moment ago, on the same day for this endpoint unless the day ends just now.
    let again = ask_again(&server, &first, 0).await;
    assert_eq!((service(&again), again.connections), (&first, 1), "what is known stays, unasked");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    ask_again(&server, &first, 24).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a day later it is asked");
    *title.lock().unwrap() = "Other";
    ask_again(&server, &first, 0).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3, "another page may have another picture");
}

#[tokio::test]
async fn postgresql_is_not_made_to_log_a_refusal_every_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut question = [0; 8];
            while let Ok(8) = stream.read_exact(&mut question).await {
                let fields = b"SFATAL\0VFATAL\0C0A000\0Munsupported\0Fpostmaster.c\0L2195\0RProcessStartupPacket\0\0";
                let error = [&[b'E', 0, 0, 0, u8::try_from(fields.len() + 4).unwrap()], fields.as_slice()].concat();
                if question == identify::POSTGRESQL_STARTUP {
                    count.fetch_add(1, Ordering::SeqCst);
                    _ = stream.write_all(&error).await;
                    return;
                }
                let is_ours = question == [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
                _ = stream.write_all(if is_ours { b"N" } else { &error }).await;
            }
        }
    })
    .await;
    let prior = Service { name: "postgresql".into(), ..Service::default() };
    let first = service(&ask_again(&server, &prior, 0).await).clone();
    assert_eq!((first.product.as_deref(), asked.load(Ordering::SeqCst)), (Some("PostgreSQL"), 1));
    let again = ask_again(&server, &first, 0).await;
    assert_eq!((service(&again), asked.load(Ordering::SeqCst)), (&first, 1));
    ask_again(&server, &first, 24).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Some let everybody wait before they greet, and hold it against whoever speaks meanwhile.
#[tokio::test]
async fn a_mail_server_that_lets_wait_is_waited_for() {
    let early = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&early);
    let server = Server::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut word = [0; 64];
            if tokio::time::timeout(timeouts().answer.1 * 2, stream.read(&mut word)).await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
            greet(stream, b"220 mx.example.org ESMTP Zorb\r\n").await;
        }
    })
    .await;
    let prior = Service { name: "smtp".into(), ..Service::default() };
    let seen = ask_again(&server, &prior, 0).await;
    assert_eq!((service(&seen).name.as_str(), early.load(Ordering::SeqCst), server.used()), ("smtp", 0, 1));
}
