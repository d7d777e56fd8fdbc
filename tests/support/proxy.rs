//! A bad network: passes connections on, cuts them after any number of bytes in either direction, splits what it passes
//! on anywhere, holds it back, and stops reading now and then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::dice::Dice;

/// What can be told to a proxy that runs.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// From now on it only passes on.
    pub(crate) calm: AtomicBool,
    /// There is no network at all: what there was has ended, and nothing comes through.
    pub(crate) down: watch::Sender<bool>,
    /// Connections that were cut.
    pub(crate) cuts: AtomicU64,
}

/// Where clients find the proxy; it runs on a runtime by [`serve`].
pub(crate) fn listen() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener of a runtime does not block");
    let address = listener.local_addr().expect("it has an address");
    (listener, address)
}

/// Passes connections on to `target`, which may be away for a while. Never ends.
pub(crate) async fn serve(listener: std::net::TcpListener, target: SocketAddr, mut dice: Dice, weather: Arc<Weather>) {
    let listener = TcpListener::from_std(listener).expect("a listener of the runtime");
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (dice, weather) = (dice.fork(), Arc::clone(&weather));
        tokio::spawn(async move {
            // Where the server is away, the client sees an end.
            let mut down = weather.down.subscribe();
            let passed = async {
                if let Ok(server) = TcpStream::connect(target).await {
                    pass(client, server, dice, &weather).await;
                }
            };
            tokio::select! {
                biased;
                _ = down.wait_for(|down| *down) => {}
                () = passed => {}
            }
        });
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut dice: Dice, weather: &Weather) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = (dice.fork(), dice.fork());
    tokio::select! {
        () = one_way(from_client, to_server, up, weather) => {}
        () = one_way(from_server, to_client, down, weather) => {}
    }
}

/// Copies until the end, or until it is cut. Most connections live for some kilobytes, some for a few bytes.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dice: Dice, weather: &Weather) {
    let scale = [40, 2_000, 20_000, 200_000][usize::try_from(dice.below(4)).unwrap_or(0)];
    let mut left = dice.below(scale);
    let mut buffer = [0; 4096];
    loop {
        let is_calm = weather.calm.load(Ordering::Relaxed);
        if !is_calm && dice.once_in(40) {
            // A reader that does not read: what lies behind fills up.
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
        let Ok(size @ 1..) = from.read(&mut buffer).await else { return };
        let mut bytes = &buffer[..size];
        while !bytes.is_empty() {
            let is_calm = weather.calm.load(Ordering::Relaxed);
            let piece =
                if is_calm { bytes.len() } else { 1 + usize::try_from(dice.below(bytes.len() as u64)).unwrap_or(0) };
            let allowed = if is_calm { piece } else { piece.min(usize::try_from(left).unwrap_or(piece)) };
            if to.write_all(&bytes[..allowed]).await.is_err() {
                return;
            }
            left = left.saturating_sub(allowed as u64);
            if allowed < piece {
                weather.cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            bytes = &bytes[piece..];
            if !is_calm && dice.once_in(8) {
                tokio::time::sleep(Duration::from_millis(dice.below(5))).await;
            }
        }
    }
}
