//! Chromium without a window, driven over its DevTools protocol. Every page has storage of its own, as another person's
//! browser would.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::client;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::{PATIENCE, until};

/// The browser. It ends with the value.
pub(crate) struct Browser {
    process: Child,
    profile: tempfile::TempDir,
}

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

impl Browser {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder can be made");
        let process = Command::new("chromium")
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            // A group of its own, so that all of its processes end together.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromium cannot be run ({error}): ./check installs it"));
        Self { process, profile }
    }

    /// Opens a page.
    pub(crate) fn open(&self, url: &str) -> Page {
        let file = self.profile.path().join("DevToolsActivePort");
        let (port, path) = until("Chromium to listen", || {
            let text = std::fs::read_to_string(&file).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.trim().to_owned())).filter(|(_, path)| !path.is_empty())
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("Chromium listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        let (socket, _) = client(format!("ws://127.0.0.1:{port}{path}"), stream).expect("DevTools answer");
        let mut page = Page { socket, session: None, next_id: 1, complaints: Vec::new() };
        let context = page.call("Target.createBrowserContext", &json!({}))["browserContextId"].clone();
        let target = json!({"url": "about:blank", "browserContextId": context});
        let target = page.call("Target.createTarget", &target)["targetId"].clone();
        let attached = page.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            page.call(domain, &json!({}));
        }
        page.call("Page.navigate", &json!({"url": url}));
        page.until("document.readyState === 'complete'");
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// An open page.
pub(crate) struct Page {
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    next_id: u64,
    /// What the page or the browser complained about: exceptions, errors in the console, violations of a policy.
    complaints: Vec<String>,
}

impl Page {
    /// Calls a method of the DevTools protocol.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(request.to_string())).expect("Chromium takes a call");
        loop {
            let Message::Text(text) = self.socket.read().expect("Chromium answers") else { continue };
            let message: Value = serde_json::from_str(&text).expect("DevTools speak JSON");
            if message["id"] == id {
                return message.get("error").map_or_else(|| Ok(message["result"].clone()), |error| Err(error.clone()));
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        let complaint = match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => params["exceptionDetails"].to_string(),
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "assert" => {
                params["args"].to_string()
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => params["entry"].to_string(),
            "Page.javascriptDialogOpening" => {
                self.close_dialog();
                format!("a dialog: {}", params["message"])
            }
            _ => return,
        };
        self.complaints.push(complaint);
    }

    /// Nothing in the page goes on while a dialog is open. What is answered to this is passed over.
    fn close_dialog(&mut self) {
        let params = json!({"accept": false});
        let close = json!({"id": self.next_id, "method": "Page.handleJavaScriptDialog", "params": params,
            "sessionId": self.session});
        self.next_id += 1;
        self.socket.send(Message::text(close.to_string())).expect("Chromium takes a call");
    }

    /// What was complained about until now, which is forgotten.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.run("0");
        std::mem::take(&mut self.complaints)
    }

    /// The value of an expression.
    pub(crate) fn run(&mut self, expression: &str) -> Value {
        let params =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let result = self.call("Runtime.evaluate", &params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        // In a page that is just being replaced, anything may fail.
        let safe = format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        let params = json!({"expression": safe, "returnByValue": true});
        // An answer that went with the page it was asked of is none.
        while !self.try_call("Runtime.evaluate", &params).is_ok_and(|answer| answer["result"]["value"] == true) {
            if std::time::Instant::now() > deadline {
                let shown = self.run("document.body.innerText");
                panic!(
                    "waited {PATIENCE:?} for {expression}; the page shows {shown}; complaints: {:?}",
                    self.complaints
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Types text where the keyboard's focus is put.
    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        self.run(&format!("document.querySelector({selector:?}).focus()"));
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Asserts that nobody complained; what the browser says of a server that was away does not count.
    pub(crate) fn assert_no_complaints(&mut self) {
        self.run("0");
        let away = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to"];
        let serious = |complaint: &&String| !away.iter().any(|known| complaint.contains(known));
        let complaints: Vec<_> = self.complaints.iter().filter(serious).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}
