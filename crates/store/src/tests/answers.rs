use super::*;
use model::{Endpoint, Heard};
use monitor::{AnswerPlace, KeptAnswer};

fn answer(ip_text: &str, port: u16, product: &str, bytes: &[u8]) -> KeptAnswer {
    let Endpoint { ip, transport, port } = Endpoint::tcp(ip(ip_text), port);
    let base = Service { name: "http".into(), product: Some(product.into()), ..Service::default() };
    // Any digest does that is another for other bytes.
    let mut digest = [0; 32];
    digest.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    KeptAnswer {
        place: AnswerPlace { ip, transport, port, name: None },
        digest: Sha256(digest),
        heard: Heard::new(base, bytes),
    }
}

async fn kept(store: &Store) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.answers(after, 2).await.expect("answers");
        let Some(last) = page.last() else { return all };
        after = Some(last.place.clone());
        all.extend(page.into_iter().map(|answer| (answer.place.port, answer.heard.bytes)));
    }
}

fn different_bytes(folder: &Path) -> i64 {
    let connection = rusqlite::Connection::open(folder.join("perimeter.db")).expect("the file");
    connection.query_row("SELECT count(*) FROM answer_bytes", [], |row| row.get(0)).expect("a count")
}

#[tokio::test]
async fn answers_are_kept_once_and_go_with_their_host() {
    let folder = folder();
    let store = open_with(folder.path(), &Options { vantage: "scan1".into(), ..Options::default() });
    let put = async |answers: Vec<KeptAnswer>| {
        store.commit(Batch { answers, ..Batch::default() }).await.expect("a commit");
    };
    let first = [80, 81, 82].map(|port| answer("192.0.2.7", port, "nginx", b"same"));
    put(first.into()).await;
    put(vec![answer("192.0.2.8", 80, "nginx", b"same"), answer("192.0.2.8", 443, "Apache", b"other")]).await;
    let same = b"same".to_vec();
    assert_eq!(
        kept(&store).await,
        [(80, same.clone()), (81, same.clone()), (82, same.clone()), (80, same.clone()), (443, b"other".to_vec())]
    );
    assert_eq!(different_bytes(folder.path()), 2, "each set of bytes once");
    // What says the same of the service is not written again, and what says something else takes its place.
    put(vec![answer("192.0.2.7", 80, "nginx", b"same at another time")]).await;
    assert_eq!(kept(&store).await[0].1, same);
    put(vec![answer("192.0.2.8", 443, "Apache 2", b"newer")]).await;
    assert_eq!(kept(&store).await[4].1, b"newer");
    assert_eq!(different_bytes(folder.path()), 2, "nobody refers to the other one any more");
    // The host goes, and what only it had said.
    store.commit(Batch { removed_hosts: vec![key("192.0.2.8")], ..Batch::default() }).await.expect("a commit");
    assert_eq!(kept(&store).await.len(), 3);
    assert_eq!(different_bytes(folder.path()), 1);
}
