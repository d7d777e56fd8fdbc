//! The embedded pages in a real browser: talking, hearing others live, and going on after the server was killed.

use serde_json::{Value, json};

use crate::support::browser::{Browser, Page};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::tokens::PASSWORD;

/// Opens the page, picks a name and opens the chat that is open to all.
fn enter(browser: &Browser, server: &TestServer, name: &str) -> Page {
    let mut page = browser.open(&format!("http://{}/", server.http));
    page.until("!document.querySelector('#join').hidden");
    page.type_into("#nickname", name);
    page.run("document.querySelector('#join-form').requestSubmit()");
    page.until("document.querySelector('#state').textContent === 'connected'");
    page.until("document.querySelector('#chats a')");
    page.run("document.querySelector('#chats a').click()");
    page.until("!document.querySelector('#chat').hidden");
    page
}

fn send(page: &mut Page, text: &str) {
    page.type_into("#text", text);
    page.run("document.querySelector('#composer').requestSubmit()");
}

/// Waits until exactly these messages are shown, and stored, in this order.
fn shows(page: &mut Page, texts: &[&str]) {
    let shown = "[...document.querySelectorAll('#messages .message')]\
        .filter((item) => !item.querySelector('.pending')).map((item) => item.querySelector('.text').textContent)";
    page.until(&format!("JSON.stringify({shown}) === {:?}", json!(texts).to_string()));
}

#[test]
fn people_talk_on_the_page_and_miss_nothing_when_the_server_is_killed() {
    let mut server = TestServer::start();
    let browser = Browser::start();
    let mut ann = enter(&browser, &server, "Ann");
    send(&mut ann, "Is anybody here? <b>&amp;</b>");
    shows(&mut ann, &["Is anybody here? <b>&amp;</b>"]);

    let mut bob = enter(&browser, &server, "Bob");
    shows(&mut bob, &["Is anybody here? <b>&amp;</b>"]);
    ann.until("document.querySelector('#people summary').textContent === '2 members, 2 here'");
    bob.type_into("#text", "I am");
    ann.until("document.querySelector('#typing').textContent === 'Bob is typing…'");
    send(&mut bob, " here");
    let both = ["Is anybody here? <b>&amp;</b>", "I am here"];
    shows(&mut ann, &both);
    shows(&mut bob, &both);
    ann.until("document.querySelector('#typing').textContent === ''");

    server.kill();
    ann.until("document.querySelector('#state').textContent !== 'connected'");
    send(&mut ann, "said while nobody listened");
    server.restart_on_its_ports();
    let body = json!({"sender_id": 9, "content": "said before the page was back"});
    Http::to(&server).post("/api/chats/1/messages", &body).expect(201);
    for page in [&mut ann, &mut bob] {
        page.until("document.querySelector('#state').textContent === 'connected'");
    }
    let history = || -> Vec<String> {
        let page = Http::to(&server).get("/api/chats/1/messages").expect(200);
        page["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
    };
    crate::support::until("the message that was kept", || (history().len() == 4).then_some(()));
    let history = history();
    let texts: Vec<&str> = history.iter().map(String::as_str).collect();
    assert_eq!(texts[..2], both);
    assert!(texts[2..].contains(&"said while nobody listened"), "{texts:?}");
    for page in [&mut ann, &mut bob] {
        shows(page, &texts);
        page.assert_no_complaints();
    }
    send(&mut bob, "and on");
    shows(&mut ann, &[&texts[..], &["and on"]].concat());
}

/// Fills in the form of a server that asks for passwords, and presses a button of it.
fn submit(page: &mut Page, name: &str, password: &str, button: &str) {
    page.until("!document.querySelector('#join').hidden");
    page.run("document.querySelector('#join-form').reset()");
    page.type_into("#nickname", name);
    page.type_into("#password", password);
    page.run(&format!("document.querySelector('#join-form').requestSubmit(document.querySelector('{button}'))"));
}

#[test]
fn a_session_lasts_as_long_as_its_page_and_ends_when_it_is_left() {
    let server = TestServer::with_tokens(&[("CHAPPE_AUTH_REGISTRATION", "true"), ("CHAPPE_AUTH_SESSION_TTL", "4s")]);
    let browser = Browser::start();
    let mut ann = browser.open(&format!("http://{}/", server.http));
    submit(&mut ann, "Ann", PASSWORD, "#register");
    ann.until("document.querySelector('#state').textContent === 'connected'");
    ann.until("document.querySelector('#chats a')");
    ann.run("document.querySelector('#chats a').click()");
    ann.until("!document.querySelector('#chat').hidden");
    send(&mut ann, "said with the first token");
    // The third token: the first has run out by then, and the page did not notice.
    let renewed = "performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/renew')).length";
    ann.until(&format!("{renewed} >= 2"));
    send(&mut ann, "said with another");
    shows(&mut ann, &["said with the first token", "said with another"]);
    assert_eq!(server.metric("chappe_connections_opened_total{door=\"websocket\"}"), 1.0, "it never reconnected");
    ann.run("window.old = true; location.reload()");
    ann.until("!window.old && document.querySelector('#state').textContent === 'connected'");
    ann.run("document.querySelector('#leave').click()");
    ann.until("!document.querySelector('#join').hidden");
    assert!(!server.log().contains("eyJ"), "no token is in the log");

    submit(&mut ann, "Ann", "wrong horse battery", "#join-submit");
    ann.until("document.querySelector('#join-error').textContent");
    submit(&mut ann, "ann", PASSWORD, "#join-submit");
    ann.until("document.querySelector('#state').textContent === 'connected'");
}

/// Posts what the keyboard cannot write.
fn post_value(page: &mut Page, expression: &str) {
    page.run(&format!("document.querySelector('#text').value = {expression}"));
    page.run("document.querySelector('#composer').requestSubmit()");
}

#[test]
fn a_message_that_is_too_large_as_json_holds_nothing_up() {
    let server = TestServer::start();
    let browser = Browser::start();
    let mut ann = enter(&browser, &server, "Ann");
    // Each takes a byte of content, and six of JSON.
    post_value(&mut ann, "'\\u0001'.repeat(12_000)");
    send(&mut ann, "and on");
    let stored = "[...document.querySelectorAll('.message:has(.ticks) .text')].map((text) => text.textContent).join()";
    ann.until(&format!("{stored} === 'and on'"));
    ann.until("document.querySelector('.failed .marks').textContent.startsWith('Not sent: ')");
    assert_eq!(server.metric("chappe_connections_opened_total{door=\"websocket\"}"), 1.0, "it never reconnected");
    ann.assert_no_complaints();
}

#[test]
fn an_edit_that_fails_stays_in_the_composer_and_a_draft_comes_back_behind_it() {
    let mut server = TestServer::start();
    let browser = Browser::start();
    let mut ann = enter(&browser, &server, "Ann");
    send(&mut ann, "written");
    shows(&mut ann, &["written"]);
    ann.type_into("#text", "half a thought");
    ann.run("document.querySelector('.message .more').click(); document.querySelector('#edit').click()");
    ann.until("document.querySelector('#text').value === 'written'");
    server.kill();
    ann.until("document.querySelector('#state').textContent !== 'connected'");
    send(&mut ann, " and changed");
    ann.until("document.querySelector('#problem').textContent.startsWith('Not connected')");
    assert_eq!(ann.run("document.querySelector('#text').value"), "written and changed");
    server.restart_on_its_ports();
    ann.until("document.querySelector('#state').textContent === 'connected'");
    send(&mut ann, ", twice");
    shows(&mut ann, &["written and changed, twice"]);
    ann.until("document.querySelector('#editing').hidden");
    assert_eq!(ann.run("document.querySelector('#text').value"), "half a thought");
}

#[test]
fn a_renewal_that_fails_is_tried_again() {
    let server = TestServer::with_tokens(&[("CHAPPE_AUTH_REGISTRATION", "true"), ("CHAPPE_AUTH_SESSION_TTL", "10s")]);
    let browser = Browser::start();
    let mut ann = browser.open(&format!("http://{}/", server.http));
    submit(&mut ann, "Ann", PASSWORD, "#register");
    ann.until("document.querySelector('#state').textContent === 'connected'");
    ann.run(
        "window.renewals = []; const real = fetch; window.fetch = async (url, options) => { \
         if (!url.endsWith('/renew')) return real(url, options); \
         renewals.push(renewals.length ? 'passed on' : 'broken off'); \
         if (renewals.length === 1) throw new TypeError('Failed to fetch'); \
         return real(url, options); }",
    );
    // The first one that came through was in time, where another one follows it.
    ann.until("renewals.length === 2");
    ann.until("renewals.length === 3");
    assert_eq!(ann.run("document.querySelector('#problem').textContent"), "");
    assert_eq!(server.metric("chappe_connections_opened_total{door=\"websocket\"}"), 1.0, "it never reconnected");
}

#[test]
fn whoever_logs_in_next_sees_nothing_of_who_was_there_before() {
    let server = TestServer::with_tokens(&[]);
    let browser = Browser::start();
    let (ann, _) = (server.account("Ann"), server.account("Bob"));
    let token = || server.login("Ann")["token"].as_str().expect("a session has a token").to_owned();
    let chat = json!({"title": "ANN'S ALONE", "kind": "group", "members": [ann]});
    let chat = server.as_user(&token(), "POST", "/api/chats", Some(&chat)).expect(201)["chat_id"].clone();
    let path = format!("/api/chats/{chat}/messages");
    server.as_user(&token(), "POST", &path, Some(&json!({"content": "ANN'S SECRET"}))).expect(201);
    let everything = "document.querySelector('body').textContent + document.querySelector('#text').value";

    let mut page = browser.open(&format!("http://{}/#/chat/{chat}", server.http));
    let connected =
        "!document.querySelector('#app').hidden && document.querySelector('#state').textContent === 'connected'";
    submit(&mut page, "Ann", PASSWORD, "#join-submit");
    shows(&mut page, &["ANN'S SECRET"]);
    page.type_into("#text", "ANN'S DRAFT");
    let end = |page: &mut Page| {
        server.as_user(&token(), "DELETE", "/api/sessions", None).expect(204);
        page.until("!document.querySelector('#join').hidden");
        // What is drawn is drawn in a moment.
        page.until("!document.querySelector('#chats a')");
        let left = page.run(everything).to_string();
        assert!(!left.contains("ANN'S"), "{left}");
    };
    end(&mut page);
    // She goes on where she was.
    submit(&mut page, "Ann", PASSWORD, "#join-submit");
    shows(&mut page, &["ANN'S SECRET"]);
    assert_eq!(page.run("document.querySelector('#text').value"), "ANN'S DRAFT");
    end(&mut page);
    submit(&mut page, "Bob", PASSWORD, "#join-submit");
    page.until(connected);
    page.until("document.querySelector('#chats a, #open-chats a')");
    let shown = page.run(everything).to_string();
    assert!(!shown.contains("ANN'S"), "{shown}");
    assert_eq!(page.run("document.querySelector('#chat').hidden"), true);
}

#[test]
fn on_a_phone_the_list_of_members_fits_and_goes_when_the_reader_goes_on() {
    let server = TestServer::start();
    let user = Http::to(&server).post("/api/users", &json!({"nickname": "Ann the Long ".repeat(4)})).expect(201);
    let message = json!({"sender_id": user["user_id"], "content": "here I am"});
    Http::to(&server).post("/api/chats/1/messages", &message).expect(201);
    let browser = Browser::start();
    let mut bob = enter(&browser, &server, "Bob");
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
    bob.call("Emulation.setDeviceMetricsOverride", &phone);
    bob.run("document.querySelector('#people summary').click()");
    bob.until("document.querySelector('#people ul').textContent.includes('Long')");
    bob.until("innerWidth === 390");
    let left = bob.run("document.querySelector('#people ul').getBoundingClientRect().left").as_f64().unwrap();
    assert!(left >= 0.0, "{left}");
    let finger = json!({"type": "mousePressed", "x": 200, "y": 700, "button": "left", "clickCount": 1});
    bob.call("Input.dispatchMouseEvent", &finger);
    bob.until("!document.querySelector('#people').open");
}

#[test]
fn the_description_of_the_api_can_be_read_as_a_page() {
    let server = TestServer::start();
    let browser = Browser::start();
    let mut page = browser.open(&format!("http://{}/docs", server.http));
    page.until("document.querySelector('#api') && !document.querySelector('#api').hasAttribute('aria-busy')");
    let api = Http::to(&server).get("/api/openapi.json").expect(200);
    let mut described: Vec<String> = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let shown = page.run("[...document.querySelectorAll('.operation h3')].map((heading) => heading.textContent)");
    let mut shown: Vec<String> =
        shown.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    described.sort();
    shown.sort();
    assert_eq!(shown, described);
    page.assert_no_complaints();
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    let server = TestServer::start();
    let browser = Browser::start();
    for path in ["/", "/docs", "/example"] {
        let mut page = browser.open(&format!("http://{}{path}", server.http));
        let loaded = page.run("performance.getEntriesByType('resource').map((entry) => entry.name)");
        let own = format!("http://{}/", server.http);
        let foreign: Vec<&Value> =
            loaded.as_array().unwrap().iter().filter(|url| !url.as_str().unwrap().starts_with(&own)).collect();
        assert!(foreign.is_empty(), "{path}: {foreign:?}");
        let policy = Http::to(&server).get(path);
        assert!(
            policy.header("content-security-policy").is_some_and(|policy| policy.contains("default-src")),
            "{path}"
        );
        page.assert_no_complaints();
    }
}
