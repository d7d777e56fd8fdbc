//! Sends one message over TCP in the binary format; prints the ack, and events until the message itself comes by.
//!
//! `cargo run --example tcp_binary [ADDRESS]`, or with the address in `CHAPPE_TCP`.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chappe_proto::format::MAX_BODY_BYTES;
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::message::MessageType;
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::Packet;
use chappe_proto::request::{Hello, NewMessage, Request, SendMessage, Subscribe};
use chappe_proto::{ChatId, ClientId, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).or_else(|| std::env::var("CHAPPE_TCP").ok());
    let address = address.unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    tokio::time::timeout(Duration::from_secs(10), talk(&address)).await.map_err(|_| "no answer within 10 seconds")?
}

async fn talk(address: &str) -> Result<()> {
    let refused = |error| format!("cannot connect to {address}: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(refused)?;
    stream.set_nodelay(true)?;
    let chat_id = ChatId::parse(1)?;

    // Say who is talking. In open mode the server takes a client's word for it; else it wants a token.
    let token = std::env::var("CHAPPE_TOKEN").ok();
    let user_id = if token.is_none() { Some(UserId::parse(1)?) } else { None };
    let hello = Hello { token, user_id, agent: Some("example/tcp_binary".to_owned()), ..Hello::default() };
    send(&mut stream, Request::Hello(hello)).await?;
    match receive(&mut stream).await? {
        Packet::Welcome(welcome) => println!("welcome, user {}", welcome.user_id),
        Packet::Error(error) => return Err(error.error.into_string().into()),
        other => return Err(format!("expected a Welcome, got {other:?}").into()),
    }

    // Members hear their chats anyway; this also works before the first message has made us one.
    send(&mut stream, Request::Subscribe(Subscribe { chat_ids: vec![chat_id] })).await?;

    // One name per message, the same for every retry: then it is stored once, however often it is sent.
    let client_id = format!("tcp_binary-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());
    let client_id = ClientId::parse(client_id)?;
    let message = NewMessage {
        chat_id,
        sender_id: None,
        content: "Hello from Rust over TCP".into(),
        message_type: MessageType::Text,
        client_id: Some(client_id.clone()),
        reply_to: None,
        signature: None,
    };
    send(&mut stream, Request::SendMessage(SendMessage { message })).await?;

    // The ack and the event may come in either order, and other people's events between them.
    let (mut acked, mut seen) = (false, false);
    while !(acked && seen) {
        match receive(&mut stream).await? {
            Packet::Ack(ack) if !ack.success => return Err(ack.error.unwrap_or_default().into_string().into()),
            Packet::Ack(ack) if ack.client_id.as_ref() == Some(&client_id) => {
                println!("ack: message {} is on disk", ack.message_id);
                acked = true;
            }
            Packet::Event(event) => {
                println!("event {} of chat {}: {event:?}", event.seq(), event.chat_id());
                seen |= event.message().is_some_and(|message| message.client_id.as_ref() == Some(&client_id));
            }
            Packet::Error(error) => return Err(error.error.into_string().into()),
            _ => {}
        }
    }
    Ok(())
}

async fn send(stream: &mut TcpStream, request: Request) -> Result<()> {
    let mut body = Vec::new();
    frame::encode_request_into(&ClientFrame::from(request), &mut body);
    let mut bytes = Vec::new();
    Wire::Binary.put(&body, &mut bytes); // the length, then the body
    Ok(stream.write_all(&bytes).await?)
}

async fn receive(stream: &mut TcpStream) -> Result<Packet> {
    let length = usize::try_from(stream.read_u32().await?)?;
    if length > MAX_BODY_BYTES {
        return Err(format!("a frame of {length} bytes: this is no chappe server").into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let (_request_id, packet) = frame::decode_packet(&body)?;
    Ok(packet)
}
