//! UDP where tokens are asked for: datagrams are sealed with what `Welcome` gave, count once, and end with the token. TLS is
//! around the rest, as it is where tokens are used in earnest.

use chappe_proto::sealed::{Seal, Side};
use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::tls::{Authority, PairFiles};
use crate::support::udp::Udp;
use crate::support::until;

fn seal(welcome: &Value) -> Seal {
    let udp = serde_json::from_value(welcome["udp"].clone()).expect("a Welcome tells how to seal");
    Seal::from_told(&udp).expect("session and key have their length")
}

fn sealed(seal: &Seal, counter: u64, packet: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(seal.seal(Side::Client, counter, packet.to_string().as_bytes(), &mut bytes));
    bytes
}

fn status(text: &str) -> Value {
    json!({"packet_type": "Status", "status_data": text})
}

fn dropped(server: &TestServer, reason: &str) -> f64 {
    server.metric(&format!("chappe_udp_dropped_total{{reason=\"{reason}\"}}"))
}

/// Asks, and waits for the answer: what was sent before has been dealt with.
fn ping(udp: &Udp, seal: &Seal, counter: u64) {
    let asked = sealed(seal, counter, &json!({"packet_type": "Ping", "nonce": counter}));
    udp.send(&asked);
    let mut answer = udp.receive();
    assert!(answer.len() <= asked.len());
    let (_, pong) = seal.open(Side::Server, &mut answer).expect("a sealed answer");
    assert_eq!(serde_json::from_slice::<Value>(pong).unwrap()["nonce"], counter);
}

#[test]
fn beacons_are_believed_under_the_seal_of_a_welcome_and_end_with_its_token() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let mut variables = files.variables().to_vec();
    variables.push(("CHAPPE_AUTH_MODE", "token"));
    let mut server = TestServer::with_tls(&variables, authority.trusted());
    let (ann, bob) = (server.account("ann"), server.account("bob"));
    let session = server.login("ann");
    let token = session["token"].as_str().unwrap();

    let mut sender = Client::connect(&server, Door::TcpJson);
    let first = seal(&sender.show(token));
    sender.post(1, "makes ann a member");
    drop(sender);
    let mut watcher = Client::holding(&server, Door::WsBinary, &server.token(bob));
    watcher.post(1, "and bob");
    let mut hears = |text: &str| {
        // Alone, or with others that changed in the same second.
        let tells = |status: &Value| status["user_id"] == ann && status["status_data"] == text;
        watcher
            .wait(text, |packet| tells(packet) || packet["users"].as_array().is_some_and(|all| all.iter().any(tells)));
    };
    let udp = Udp::to(&server);
    udp.send(&sealed(&first, 1, &status("at lunch")));
    hears("at lunch");

    // In the clear, forged, and once more.
    udp.say(&json!({"packet_type": "Status", "user_id": ann, "status_data": "in the clear"}));
    let mut forged = sealed(&first, 2, &status("forged"));
    *forged.last_mut().unwrap() ^= 1;
    udp.send(&forged);
    udp.send(&sealed(&first, 1, &status("at lunch")));
    udp.send(&sealed(&first, 3, &json!({"packet_type": "Status", "user_id": bob, "status_data": "not bob"})));
    ping(&udp, &first, 4);
    assert_eq!(["unsealed", "forged", "replayed", "refused"].map(|reason| dropped(&server, reason)), [1.0; 4]);
    assert!(!udp.has_answer());

    // The seal of another Welcome of the same token; then the token is ended.
    let second = seal(&Client::connect(&server, Door::WsText).show(token));
    udp.send(&sealed(&second, 1, &status("back")));
    hears("back");
    assert_eq!(server.as_user(token, "DELETE", "/api/sessions/current", None).status, 204);
    udp.send(&sealed(&first, 5, &status("ended")));
    udp.send(&sealed(&second, 2, &status("ended")));
    until("both to be refused", || (dropped(&server, "expired") >= 2.0).then_some(()));

    // A start later nothing from before opens.
    let other = seal(&Client::connect(&server, Door::TcpBinary).show(&server.token(bob)));
    assert_eq!(server.stop(), Some(0));
    server.restart();
    let udp = Udp::to(&server);
    udp.send(&sealed(&other, 1, &status("from before")));
    until("it to be dropped", || (dropped(&server, "forged") >= 1.0).then_some(()));
}

#[test]
fn in_open_mode_nothing_is_sealed_and_under_tls_cookies_are_secure() {
    let open = TestServer::start();
    let welcome = Client::connect(&open, Door::TcpJson).greet(1);
    assert!(welcome.get("udp").is_none(), "{welcome}");

    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let mut variables = files.variables().to_vec();
    variables.push(("CHAPPE_AUTH_MODE", "token"));
    let server = TestServer::with_tls(&variables, authority.trusted());
    server.account("ann");
    let body = json!({"nickname": "ann", "password": crate::support::tokens::PASSWORD});
    let answer = Http::to(&server).post("/api/sessions", &body);
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("; Secure")), "{answer:?}");
}
