//! Keeps a user online with one small datagram every 10 seconds, and says goodbye on Ctrl-C.
//!
//! `cargo run --example udp_beacon [ADDRESS] [--once]`, or with the address in `CHAPPE_UDP`.

use std::error::Error;
use std::time::Duration;

use chappe_proto::packet::Packet;
use chappe_proto::request::{Ping, Request, Status};
use chappe_proto::{UserId, datagram, frame};
use tokio::net::UdpSocket;
use tokio::time::{interval, timeout};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (flags, addresses): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--once") {
        return Err(format!("there is no option {unknown}").into());
    }
    let address = addresses.into_iter().next().or_else(|| std::env::var("CHAPPE_UDP").ok());
    let address = address.unwrap_or_else(|| "127.0.0.1:8082".to_owned());

    // The server's presence is a lease of 30 seconds: two beacons in a row may get lost.
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(&address).await.map_err(|error| format!("cannot use {address}: {error}"))?;
    ping(&socket).await.map_err(|error| format!("{address} does not answer: {error}"))?;

    let mut every_10_s = interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            _ = every_10_s.tick() => {
                status(&socket, "online").await?;
                if !flags.is_empty() {
                    break;
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    status(&socket, "offline").await
}

/// A status is never answered, so ask once whether anybody is there. Datagrams get lost: three tries.
async fn ping(socket: &UdpSocket) -> Result<()> {
    let mut answer = [0; 1200];
    for _ in 0..3 {
        // No answer is larger than its question, and a pong is a byte longer than a ping: leave room.
        send(socket, Request::Ping(Ping::default()), 1).await?;
        let Ok(received) = timeout(Duration::from_secs(1), socket.recv(&mut answer)).await else { continue };
        if let (_, Packet::Pong(_)) = frame::decode_packet(&answer[..received?])? {
            println!("pong");
            return Ok(());
        }
    }
    Err("no pong within 3 seconds".into())
}

async fn status(socket: &UdpSocket, text: &str) -> Result<()> {
    send(socket, Request::Status(Status { user_id: Some(UserId::parse(1)?), status_data: text.into() }), 0).await?;
    println!("sent: user 1 is {text}");
    Ok(())
}

async fn send(socket: &UdpSocket, request: Request, padding: usize) -> Result<()> {
    let mut bytes = Vec::new();
    datagram::encode_request_into(request, false, &mut bytes);
    bytes.resize(bytes.len() + padding, 0);
    socket.send(&bytes).await?;
    Ok(())
}
