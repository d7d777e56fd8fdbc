//! The page, shown what an attacker has written everywhere where somebody may write: it stays text. Behind that stands the
//! page's policy, which is tried on its own.

use serde_json::{Value, json};

use crate::support::browser::{Browser, Page};
use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::server::TestServer;

/// Each fits into a nickname, which is the shortest.
const PAYLOADS: [&str; 20] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "\"><script>pwned=1</script>",
    "' autofocus onfocus=alert(1) x='",
    "\" onmouseover=alert(1) x=\"",
    "</textarea></title></style><script>alert(1)</script>",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "<a href=javascript:alert(1) id=state>x</a>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><input autofocus name=text>",
    "<math><mi xlink:href=data:x,<script>alert(1)</script>>",
    "<details open ontoggle=alert(1)>",
    "${alert(1)}{{constructor.constructor('alert(1)')()}}",
    "&lt;script&gt;alert(1)&lt;/script&gt;&#60;b&#62;",
    "__proto__",
    "\u{202e}\u{2028}*/alert(1)//-->]]>",
];

/// Everything in a page that an attacker could have added.
const ADDED: &str = "document.querySelectorAll('script, iframe, img, svg, math, style, base, meta, object, embed, link, \
    [onerror], [onload], [onfocus], [onmouseover], [ontoggle], [srcdoc], a[href^=javascript], form[action]').length";

/// Waits until a page shows all of these texts, each as the whole text of an element.
fn shows_all(page: &mut Page, selector: &str, texts: &[String]) {
    let texts = json!(texts).to_string();
    page.until(&format!(
        "(() => {{ const shown = new Set([...document.querySelectorAll({selector:?})].map((item) => item.textContent)); \
         return {texts}.every((text) => shown.has(text)); }})()"
    ));
}

fn is_unharmed(page: &mut Page, added: &Value, path: &str) {
    assert_eq!(&page.run(ADDED), added, "{path}");
    assert_eq!(page.run("typeof window.pwned"), "undefined", "{path}");
    assert_eq!(page.run("location.pathname"), path);
    page.assert_no_complaints();
}

#[test]
fn what_others_write_is_shown_as_text_wherever_it_is_shown() {
    let server = TestServer::start();
    let browser = Browser::start();
    let mut page = browser.open(&format!("http://{}/", server.http));
    page.until("!document.querySelector('#join').hidden");
    let added = page.run(ADDED);
    page.type_into("#nickname", PAYLOADS[0]);
    page.run("document.querySelector('#join-form').requestSubmit()");
    page.until("document.querySelector('#state').textContent === 'connected'");
    page.until("document.querySelector('#chats a')");
    page.run("document.querySelector('#chats a').click()");
    page.until("document.querySelector('#chat').dataset.loaded === 'yes'");
    let ann = page.run("JSON.parse(localStorage.getItem('chappe.me')).user_id").as_u64().expect("Ann has an id");

    let mut attackers = Vec::new();
    for payload in PAYLOADS {
        let mut http = Http::to(&server);
        let user =
            http.post("/api/users", &json!({"nickname": payload})).expect(201)["user_id"].as_u64().expect("an id");
        http.post("/api/chats", &json!({"title": payload, "members": [ann], "user_id": user})).expect(201);
        let mut client = Client::hello(&server, Door::WsText, user);
        let ack = client.post(1, payload);
        client.ask(json!({"packet_type": "React", "message_id": ack["message_id"], "emoji": payload}));
        client.send(&json!({"packet_type": "Status", "status_data": payload}));
        client.send(&json!({"packet_type": "Typing", "chat_id": 1, "status_data": payload}));
        attackers.push(client);
    }
    let shown: Vec<String> = PAYLOADS.iter().map(|payload| (*payload).to_owned()).collect();
    let chips: Vec<String> = PAYLOADS.iter().map(|payload| format!("{payload} 1")).collect();
    // Live first, and then as it is stored.
    for _ in 0..2 {
        shows_all(&mut page, "#messages .text", &shown);
        shows_all(&mut page, "#messages .name", &shown);
        shows_all(&mut page, "#chats strong", &shown);
        shows_all(&mut page, ".chip", &chips);
        page.run("document.querySelector('#people').open = true");
        shows_all(&mut page, "#people small", &shown);
        page.run("document.querySelector('#new-chat').click()");
        page.until("document.querySelectorAll('#new-members label').length >= 20");
        page.run("document.querySelector('#create-cancel').click()");
        page.run("document.querySelectorAll('.message .more, .chip').forEach((button) => button.dispatchEvent(new Event('mouseover')))");
        is_unharmed(&mut page, &added, "/");
        page.run("window.old = true; location.reload()");
        page.until("!window.old && document.querySelector('#state').textContent === 'connected'");
        page.until("document.querySelector('#chat').dataset.loaded === 'yes'");
    }

    let mut example = browser.open(&format!("http://{}/example", server.http));
    example.until("document.querySelector('#state').textContent.startsWith('Connected')");
    let added = example.run(ADDED);
    for (client, payload) in attackers.iter_mut().zip(PAYLOADS) {
        client.post(1, &format!("again {payload}"));
    }
    for payload in PAYLOADS {
        let text = json!(format!(": again {payload}"));
        example.until(&format!("document.querySelector('#log').textContent.includes({text})"));
    }
    is_unharmed(&mut example, &added, "/example");
}

#[test]
fn a_script_that_got_into_a_page_does_not_run() {
    let server = TestServer::start();
    let browser = Browser::start();
    for path in ["/", "/docs", "/example"] {
        let mut page = browser.open(&format!("http://{}{path}", server.http));
        page.assert_no_complaints();
        for attempt in [
            // Markup out of text.
            "document.body.innerHTML = '<img src=x onerror=\"pwned = 1\">'",
            "document.write('<script>pwned = 1</script>')",
            "document.body.insertAdjacentHTML('beforeend', '<svg onload=\"pwned = 1\">')",
            // Code out of text.
            "eval('pwned = 1')",
            "new Function('pwned = 1')()",
            "setTimeout('pwned = 1')",
            // Elements made whole.
            "const script = document.createElement('script'); script.append('pwned = 1'); document.body.append(script)",
            "const script = document.createElement('script'); script.src = 'data:text/javascript,pwned=1'; document.body.append(script)",
            "const img = new Image(); img.setAttribute('onerror', 'pwned = 1'); img.src = '/nothing'; document.body.append(img)",
            "const a = document.createElement('a'); a.href = 'javascript:pwned=1'; document.body.append(a); a.click()",
            "const frame = document.createElement('iframe'); frame.srcdoc = '<script>parent.pwned = 1</script>'; document.body.append(frame)",
            "const style = document.createElement('style'); style.append('body { --pwned: 1 }'); document.body.append(style)",
            "const base = document.createElement('base'); base.href = 'https://evil.example/'; document.head.append(base)",
        ] {
            let expression = format!("(() => {{ try {{ {attempt} }} catch (error) {{ return String(error) }} }})()");
            // The tool that asks may do what the page may not, unless it is told.
            let as_page = json!({"expression": expression, "allowUnsafeEvalBlockedByCSP": false});
            page.call("Runtime.evaluate", &as_page);
        }
        // What was begun is over: these come behind it.
        page.run("new Promise((done) => setTimeout(() => requestIdleCallback(done, { timeout: 1000 })))");
        assert_eq!(page.run("typeof window.pwned"), "undefined", "{path}");
        assert_eq!(page.run("getComputedStyle(document.body).getPropertyValue('--pwned')"), "", "{path}");
        assert_eq!(page.run("new URL('x', document.baseURI).host"), server.http.to_string(), "{path}");
        let complaints = page.complaints().join("\n");
        assert!(complaints.contains("Content Security Policy"), "{path}: the browser tells: {complaints}");
    }
    // That something runs would be seen.
    let mut page = browser.open(&format!("http://{}/", server.http));
    page.run("setTimeout(() => alert('seen'))");
    page.until("true");
    crate::support::until("the dialog", || {
        page.complaints().iter().any(|said| said.contains("a dialog: \"seen\"")).then_some(())
    });
}
