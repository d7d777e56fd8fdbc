//! HTTP connections of an address that has, or opens, too many: told so, and gone. They never reach the HTTP library, and
//! take nobody's place.

use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::{HttpResponse, ResponseError};
use chappe_proto::Reject;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::http::problem::Problem;

/// How long a client may take to ask, and to hear that it is not answered.
const TIME: Duration = Duration::from_secs(5);
/// So many are told at a time on a thread; more are closed without a word.
const AT_A_TIME: u32 = 128;

thread_local! {
    static TOLD: Cell<u32> = const { Cell::new(0) };
}

/// One of those that are told.
struct Told;

impl Told {
    fn one_more() -> Option<Self> {
        let before = TOLD.get();
        (before < AT_A_TIME).then(|| {
            TOLD.set(before + 1);
            Self
        })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        TOLD.set(TOLD.get().saturating_sub(1));
    }
}

/// Tells a client that speaks HTTP in the clear why it is not let in, if there is room for that, and ends the connection.
pub fn tell(io: impl AsyncRead + AsyncWrite + Unpin + 'static, reject: Reject) {
    tell_within(TIME, io, reject);
}

fn tell_within(time: Duration, io: impl AsyncRead + AsyncWrite + Unpin + 'static, reject: Reject) {
    tracing::debug!(%reject, "refuse an HTTP connection");
    let Some(told) = Told::one_more() else { return };
    actix_rt::spawn(async move {
        let _told = told;
        // It is on its way out; whether it heard is its own affair.
        let _ = tokio::time::timeout(time, answer(io, reject)).await;
    });
}

async fn answer(mut io: impl AsyncRead + AsyncWrite + Unpin, reject: Reject) -> io::Result<()> {
    // Who is answered before asking takes that for a broken connection.
    let mut unread = [0; 1024];
    if io.read(&mut unread).await? == 0 {
        return Ok(());
    }
    io.write_all(&written(Problem::from(reject).error_response())).await?;
    io.shutdown().await?;
    // Closed with bytes unread, the connection would be reset, and the answer perhaps lost.
    while io.read(&mut unread).await? > 0 {}
    Ok(())
}

/// The last answer of a connection, as HTTP/1.1 has it.
fn written(response: HttpResponse) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\nconnection: close\r\n", response.status());
    for (name, value) in response.headers() {
        // Ours are text. Writing into a string cannot fail.
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

#[cfg(test)]
#[path = "turned_away_tests.rs"]
mod tests;
