//! Accounts of the server's own: who makes them, how often a password may be tried, and what a new one ends.

use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::programs::run;
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::tokens::{PASSWORD, claims};

#[test]
fn wrong_passwords_are_few_and_those_who_know_theirs_are_in_nobodys_way() {
    let server = TestServer::with_tokens(&[]);
    for name in ["Ann", "Bob"] {
        server.account(name);
    }
    let login = |name: &str, password: &str, from: &str| {
        let body = json!({"nickname": name, "password": password});
        Http::to(&server).call("POST", "/api/sessions", &[("X-Forwarded-For", from)], Some(&body))
    };
    let sentence = login("Ann", "wrong password", "192.0.2.1").text();
    assert_eq!(login("nobody", "wrong password", "192.0.2.1").text(), sentence, "who exists is not told");
    for _ in 2..10 {
        assert_eq!(login("Bob", PASSWORD, "192.0.2.1").status, 201, "right ones do not count");
        assert_eq!(login("Ann", "wrong password", "192.0.2.1").refusal(), (401, "not_authenticated".into()));
    }
    assert_eq!(login("Bob", PASSWORD, "192.0.2.1").refusal(), (429, "rate_limited".into()), "the address");
    assert_eq!(login("Bob", PASSWORD, "192.0.2.2").status, 201, "another address");
    assert_eq!(login("Ann", "wrong password", "192.0.2.2").status, 401);
    let refused = login("ann", PASSWORD, "192.0.2.3");
    assert_eq!(refused.refusal(), (429, "rate_limited".into()), "the name, from anywhere");
    assert_eq!(login("Bob", PASSWORD, "192.0.2.3").status, 201, "that address has done nothing");
    let wait: u64 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a time");
    assert!((500..=600).contains(&wait), "{wait}");
}

#[test]
fn who_comes_straight_from_a_trusted_proxy_answers_for_nobody_else() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    for n in 0..12 {
        let body = json!({"nickname": format!("guess {n}"), "password": "wrong password"});
        assert_eq!(Http::to(&server).post("/api/sessions", &body).refusal(), (401, "not_authenticated".into()));
    }
    server.login("Ann");
}

#[test]
fn accounts_are_made_by_admins_unless_registration_is_on() {
    let new = |name: &str| json!({"nickname": name, "password": PASSWORD});
    let server = TestServer::with_tokens(&[]);
    assert_eq!(Http::to(&server).post("/api/users", &new("Ann")).refusal().0, 401);
    assert_eq!(server.as_user(&server.token(7), "POST", "/api/users", Some(&new("Ann"))).refusal().0, 403);
    let user = server.account("Ann");
    assert_eq!(server.as_user(&server.admin(), "POST", "/api/users", Some(&new("aNN"))).refusal().1, "conflict");
    for bad in [json!({"nickname": "Eve"}), json!({"nickname": "Eve", "password": "short"})] {
        assert_eq!(server.as_user(&server.admin(), "POST", "/api/users", Some(&bad)).refusal().1, "invalid_field");
    }
    let users = server.as_user(&server.token(7), "GET", "/api/users", None).expect(200);
    let ann = users["users"].as_array().and_then(|users| users.iter().find(|other| other["user_id"] == user));
    assert_eq!(ann.expect("Ann is a user")["nickname"], "Ann");

    let server = TestServer::with_tokens(&[("CHAPPE_AUTH_REGISTRATION", "true")]);
    let register = |name: &str, from: &str| {
        Http::to(&server).call("POST", "/api/users", &[("X-Forwarded-For", from)], Some(&new(name)))
    };
    for n in 0..10 {
        register(&format!("user {n}"), "192.0.2.1").expect(201);
    }
    assert_eq!(register("one more", "192.0.2.1").refusal(), (429, "rate_limited".into()));
    register("one more", "192.0.2.2").expect(201);
    server.login("user 3");
}

#[test]
fn nobody_is_given_the_id_of_another() {
    let server = TestServer::with_tokens(&[]);
    let chappe = |arguments: &[&str]| {
        run(command(&[CHAPPE.to_owned()], &[]).args(arguments).arg("--data").arg(server.data())).fine().stdout
    };
    // They come with a token and have no account; the query tables do not know them yet.
    let chat = json!({"title": "salaries"});
    server.as_user(&server.token(1001), "POST", "/api/chats", Some(&chat)).expect(201);
    assert_eq!(server.account("Ann"), 1002);
    server.as_user(&server.token(1003), "POST", "/api/chats", Some(&chat)).expect(201);
    assert_eq!(chappe(&["user", "add", "bob", "--no-password"]).trim(), "1004");
    chappe(&["user", "erase", "bob"]);
    assert_eq!(chappe(&["user", "add", "carl", "--no-password"]).trim(), "1005");
    let mine = server.as_user(server.login("Ann")["token"].as_str().unwrap(), "GET", "/api/chats", None).expect(200);
    assert!(mine["chats"].as_array().unwrap().iter().all(|chat| chat["title"] != "salaries"), "{mine}");
}

#[test]
fn a_member_is_somebody_who_is_known_unless_an_admin_names_them() {
    let server = TestServer::with_tokens(&[]);
    let (ann, admin) = (server.token(7), server.admin());
    let chat = |members: &[u64]| json!({"title": "ours", "members": members});
    let add = json!({"user_id": 501});
    let unknown = (404, "unknown_user".into());
    assert_eq!(server.as_user(&ann, "POST", "/api/chats", Some(&chat(&[501]))).refusal(), unknown);
    let made = server.as_user(&ann, "POST", "/api/chats", Some(&chat(&[]))).expect(201);
    let members = format!("/api/chats/{}/members", made["chat_id"]);
    assert_eq!(server.as_user(&ann, "POST", &members, Some(&add)).refusal(), unknown);
    // Whoever shows a token is known from then on, and is called what it says.
    let mut claims = claims(501);
    claims["name"] = json!("Eve");
    Client::holding(&server, Door::WsBinary, &server.sign(&claims));
    server.as_user(&ann, "POST", &members, Some(&add)).expect(201);
    assert_eq!(server.as_user(&ann, "GET", "/api/users/501", None).expect(200)["nickname"], "Eve");
    let made = server.as_user(&admin, "POST", "/api/chats", Some(&chat(&[502, 503, 7]))).expect(201);
    assert_eq!(made["members"], 4);
    let members = format!("/api/chats/{}/members", made["chat_id"]);
    server.as_user(&admin, "POST", &members, Some(&json!({"user_id": 504}))).expect(201);
    server.as_user(&ann, "POST", "/api/chats", Some(&chat(&[502, 504]))).expect(201);
}

#[test]
fn a_new_password_ends_the_sessions_that_the_old_one_began() {
    let server = TestServer::with_tokens(&[]);
    let (ann, bob) = (server.account("Ann"), server.account("Bob"));
    let session = server.login("Ann");
    let token = session["token"].as_str().unwrap();
    let mut client = Client::holding(&server, Door::WsBinary, token);
    let path = format!("/api/users/{ann}/password");
    let put = |token: &str, body: Value| server.as_user(token, "PUT", &path, Some(&body));
    assert_eq!(put(&server.token(bob), json!({"password": "a new one"})).refusal().1, "forbidden");
    assert_eq!(put(token, json!({"password": "a new one"})).refusal().1, "invalid_field");
    assert_eq!(put(token, json!({"current": "wrong", "password": "a new one"})).refusal().1, "not_authenticated");
    assert_eq!(put(token, json!({"current": PASSWORD, "password": "a new one"})).status, 204);
    assert_eq!(client.rest().0.last().map(|packet| &packet["code"]), Some(&json!(4004)));
    assert_eq!(server.as_user(token, "GET", "/api/chats", None).status, 401);
    let login =
        |password: &str| Http::to(&server).post("/api/sessions", &json!({"nickname": "Ann", "password": password}));
    assert_eq!(login(PASSWORD).status, 401);
    let fresh = login("a new one").expect(201);
    assert_eq!(server.as_user(fresh["token"].as_str().unwrap(), "GET", "/api/chats", None).status, 200);
    assert_eq!(put(&server.admin(), json!({"password": "by the admin"})).status, 204);
    login("by the admin").expect(201);
}
