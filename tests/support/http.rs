//! A small HTTP/1.1 client: one connection, one request at a time, nothing hidden.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::ClientConfig;
use serde_json::Value;

use super::PATIENCE;
use super::server::TestServer;
use super::tls::Socket;

/// A connection; a new one after an answer with which the server closes it.
pub(crate) struct Http {
    stream: BufReader<Socket>,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// The server said that it closes the connection.
    closes: bool,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in the body of {self:?}"))
    }

    /// The body, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Asserts the status, and gives the JSON.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a refusal in the form that all have; the status and the code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["retryable"] == true, self.header("retry-after").is_some(), "{problem}");
        (self.status, problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Http {
    /// Connects.
    pub(crate) fn to(server: &TestServer) -> Self {
        let tls = server.tls.clone();
        Self { stream: BufReader::new(Socket::to(server.http, tls.as_ref())), address: server.http, tls, closes: false }
    }

    /// Connects in the clear, from an address of this machine's own.
    pub(crate) fn from(address: [u8; 4], server: &TestServer) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((address, 0)).into()).expect("the address is this machine's");
        socket.connect(&server.http.into()).expect("the door is open");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        let stream = BufReader::new(Socket::Plain(socket.into()));
        Self { stream, address: server.http, tls: None, closes: false }
    }

    /// A request without a body.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    /// A request with a JSON body.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], Some(body))
    }

    /// A request.
    pub(crate) fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        if self.closes {
            let stream = BufReader::new(Socket::to(self.address, self.tls.as_ref()));
            *self = Self { stream, address: self.address, tls: self.tls.clone(), closes: false };
        }
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        self.raw(format!("{head}\r\n{body}").as_bytes());
        self.answer(method)
    }

    /// Any bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the HTTP connection takes a request");
    }

    /// Reads an answer to a request of this method.
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        self.closes = answer.header("connection") == Some("close");
        if method == "HEAD" || matches!(status, 100 | 101 | 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.line().trim(), 16).expect("a chunk has a size");
                let chunk = self.take(size);
                self.line();
                if size == 0 {
                    break;
                }
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
            answer.body = self.take(length);
        } else {
            self.stream.read_to_end(&mut answer.body).expect("the answer ends");
        }
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer within the time");
        line.trim_end().to_owned()
    }

    fn take(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.stream.read_exact(&mut bytes).expect("the answer is whole");
        bytes
    }

    /// Whether the server has closed the connection; waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}
