use super::*;
use crate::check::scripted::{self, flight};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SILENCE: Duration = Duration::from_secs(3);
const CHANGE: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// What a server makes of it that does `first` after the first and `second` after the second record.
async fn said(
    first: impl AsyncFnOnce(&mut DuplexStream) -> bool + Send + 'static,
    second: impl AsyncFnOnce(&mut DuplexStream) -> bool + Send + 'static,
) -> Said {
    let (mut line, mut server) = scripted::line(flight(false)).await;
    let serving = async move {
        let mut record = [0; 6];
        if server.read_exact(&mut record).await.is_err() {
            return;
        }
        assert_eq!(record, CHANGE);
        if !first(&mut server).await || server.read_exact(&mut record).await.is_err() {
            return;
        }
        assert_eq!(record, CHANGE);
        if second(&mut server).await {
            let _ = server.read_to_end(&mut Vec::new()).await;
        }
    };
    let asking = async {
        let said = ask_on(&mut line, SILENCE).await;
        drop(line);
        said
    };
    tokio::join!(asking, serving).0
}

async fn alert(stream: &mut DuplexStream, description: u8) -> bool {
    stream.write_all(&[21, 3, 3, 0, 2, 2, description]).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_servers_make_of_it() {
    let never = async |_: &mut DuplexStream| -> bool { unreachable!("it has been refused") };
    assert_eq!(said(async |s: &mut DuplexStream| alert(s, 10).await, never).await, Said::Refused(Some(10)));
    assert_eq!(said(async |_: &mut DuplexStream| false, never).await, Said::Refused(None));
    // Silent, and then unable to decrypt.
    let taken = said(async |_: &mut DuplexStream| true, async |s: &mut DuplexStream| alert(s, 20).await);
    assert_eq!(taken.await, Said::Taken(Some(20)));
    assert_eq!(said(async |_: &mut DuplexStream| true, async |_: &mut DuplexStream| false).await, Said::Taken(None));
    // A slow one that refuses the first after the second has left.
    let late = said(async |_: &mut DuplexStream| true, async |s: &mut DuplexStream| alert(s, 10).await);
    assert_eq!(late.await, Said::Refused(Some(10)));
    // Just in time.
    let slow = said(
        async |s: &mut DuplexStream| {
            tokio::time::sleep(SILENCE.saturating_sub(Duration::from_millis(1))).await;
            alert(s, 10).await
        },
        never,
    );
    assert_eq!(slow.await, Said::Refused(Some(10)));
    assert_eq!(said(async |_: &mut DuplexStream| true, async |_: &mut DuplexStream| true).await, Said::Nothing);
}
