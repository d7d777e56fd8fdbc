//! What the engine is asked, and what its replies look like.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use chappe_actors::command::{Command, Page};
use chappe_actors::reply::{self, Accepted, Reply};
use chappe_proto::message::{Message, MessageType};
use chappe_proto::packet::{ChatSummary, Messages, Reset};
use chappe_proto::signature::{Signed, SigningKey};
use chappe_proto::{ClientId, Code, Millis, Reject, Seq};
use serde_json::json;

use super::*;
use crate::http::engine;

fn message() -> Message {
    Message {
        id: 9.try_into().unwrap(),
        chat_id: 1.try_into().unwrap(),
        seq: Seq(4),
        sender_id: 7.try_into().unwrap(),
        content: "Hello!".into(),
        message_type: MessageType::Text,
        client_id: None,
        reply_to: None,
        created_at: Millis(1000),
        edited_at: None,
        deleted: false,
        signature: None,
    }
}

fn accepted(duplicate: bool, message: Option<Message>) -> Reply {
    Reply::Accepted(Box::new(Accepted {
        chat: 1.try_into().unwrap(),
        seq: Seq(4),
        message_id: 9.try_into().ok(),
        client_id: None,
        duplicate,
        message: message.map(Arc::new),
    }))
}

fn chat() -> Reply {
    Reply::Chat(Box::new(ChatSummary {
        chat_id: 5.try_into().unwrap(),
        title: "lunch".into(),
        kind: Default::default(),
        created_by: None,
        created_at: Millis(1000),
        members: 2,
        seq: Seq(1),
        read_seq: Seq(0),
        unread: 0,
        last_message: None,
    }))
}

/// Sends a request to an engine that says `replies`, one after the other; gives the answer and what was asked.
async fn ask(request: TestRequest, replies: impl IntoIterator<Item = Reply>) -> (Answer, Vec<Command>) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let heard = asked.clone();
    let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
    engine::script(move |command| {
        heard.borrow_mut().push(command);
        replies.next().expect("the engine is asked once too often")
    });
    let answer = send(request).await;
    (answer, asked.take())
}

#[actix_web::test]
async fn a_message_is_posted_once_and_told_apart_from_its_repeat() {
    let body = r#"{"sender_id":7,"content":"Hello!","client_id":"k","unknown":[1]}"#;
    let post = || with_json("POST", "/api/chats/1/messages", body);
    let shown =
        json!({"id":9,"chat_id":1,"seq":4,"sender_id":7,"content":"Hello!","message_type":"Text","created_at":1000});

    let (answer, asked) = ask(post(), [accepted(false, Some(message()))]).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (201, shown.clone()));
    let [Command::Post(post_command)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((post_command.chat.get(), post_command.sender.get(), &*post_command.content), (1, 7, "Hello!"));
    assert_eq!(post_command.client_id.as_ref().map(|id| id.as_str()), Some("k"));

    let mut repeated = shown;
    repeated["duplicate"] = true.into();
    let (answer, _) = ask(post(), [accepted(true, Some(message()))]).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, repeated.clone()));

    // The engine knows the number of a message posted long ago, and no longer its text.
    let page = Messages { chat_id: 1.try_into().unwrap(), messages: vec![Arc::new(message())], has_more: true };
    let (answer, asked) = ask(post(), [accepted(true, None), Reply::Messages(page.into())]).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, repeated));
    assert!(matches!(asked[1], Command::GetMessages { page: Page::Before(Seq(5)), limit: 1, .. }), "{asked:?}");

    // Nor does it show the message to who may not read the chat any more.
    let (answer, _) = ask(post(), [accepted(true, None), Reject::plain(Code::NotAMember).into()]).await;
    assert_eq!(answer.status.as_u16(), 403);
}

#[actix_web::test]
async fn a_signature_is_checked_before_the_engine_is_asked() {
    let client_id = ClientId::parse("k").unwrap();
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let (chat, sender) = (1.try_into().unwrap(), 7.try_into().unwrap());
    let signature = key.sign(&Signed { chat, sender, client_id: &client_id, content: "Hello!" });
    let post = |content: &str| {
        let body = json!({"sender_id": 7, "content": content, "signature": signature}).to_string();
        with_json("POST", "/api/chats/1/messages", &body)
    };
    let named = |content: &str| post(content).insert_header(("idempotency-key", "k"));
    let (answer, asked) = ask(named("Hello!"), [accepted(false, Some(message()))]).await;
    let [Command::Post(asked)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((answer.status.as_u16(), asked.signature.as_deref()), (201, Some(&signature)));
    for (request, code) in [(named("Hullo!"), "bad_signature"), (post("Hello!"), "invalid_field")] {
        let (answer, asked) = ask(request, []).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (422, &json!(code)));
        assert!(asked.is_empty());
    }
}

#[actix_web::test]
async fn a_key_is_registered_by_its_own_user() {
    let key = SigningKey::from_seed(&[7; 32]).unwrap().public();
    let body = json!({"public_key": key}).to_string();
    let user =
        || reply::User { id: 7.try_into().unwrap(), nickname: "Ann".into(), created_at: Millis(1), public_key: None };
    let (answer, asked) = ask(with_json("PUT", "/api/users/7/key?user_id=7", &body), [Reply::User(user())]).await;
    assert_eq!(answer.status.as_u16(), 200);
    let set = |key| [Command::SetKey { user: 7.try_into().unwrap(), key }];
    assert_eq!(asked, set(Some(key)));
    let (_, asked) = ask(request("DELETE", "/api/users/7/key?user_id=7"), [Reply::User(user())]).await;
    assert_eq!(asked, set(None));
    for (call, code) in [
        (with_json("PUT", "/api/users/7/key?user_id=8", &body), "identity_mismatch"),
        (with_json("PUT", "/api/users/7/key", &body), "not_authenticated"),
        (request("DELETE", "/api/users/7/key?user_id=8"), "identity_mismatch"),
        (request("DELETE", "/api/users/7/key"), "not_authenticated"),
        (with_json("PUT", "/api/users/7/key?user_id=7", r#"{"public_key":"AAAA"}"#), "invalid_field"),
    ] {
        let (answer, asked) = ask(call, []).await;
        assert_eq!(answer.json()["code"], code);
        assert!(asked.is_empty());
    }
}

#[actix_web::test]
async fn an_idempotency_key_is_a_client_id() {
    for (key, body) in [
        ("k-1", r#"{"sender_id":7,"content":"x"}"#),
        ("\"k-1\"", r#"{"sender_id":7,"content":"x"}"#),
        ("k-1", r#"{"sender_id":7,"content":"x","client_id":"k-1"}"#),
    ] {
        let post = with_json("POST", "/api/chats/1/messages", body).insert_header(("idempotency-key", key));
        let (_, asked) = ask(post, [accepted(false, Some(message()))]).await;
        assert_eq!(asked[0].client_id().map(|id| id.as_str()), Some("k-1"), "{key} {body}");
    }
}

#[actix_web::test]
async fn the_body_names_the_user_before_the_query_and_the_query_before_the_header() {
    let sender = async |body: &str, query: &str, header: Option<&str>| {
        let path = format!("/api/chats/1/messages{query}");
        let mut post = with_json("POST", &path, body);
        if let Some(header) = header {
            post = post.insert_header(("x-chappe-user", header));
        }
        match &ask(post, [accepted(false, Some(message()))]).await.1[..] {
            [Command::Post(post)] => post.sender.get(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sender(r#"{"content":"x","sender_id":1}"#, "?user_id=3", Some("4")).await, 1);
    assert_eq!(sender(r#"{"content":"x","sender_id":null,"user_id":2}"#, "?user_id=3", Some("4")).await, 2);
    assert_eq!(sender(r#"{"content":"x"}"#, "?user_id=3", Some("4")).await, 3);
    assert_eq!(sender(r#"{"content":"x"}"#, "", Some("4")).await, 4);
}

#[actix_web::test]
async fn what_is_asked_for_reaches_the_engine() {
    let user = 3.try_into().ok();
    let chat = 1.try_into().unwrap();
    for (path, expected) in [
        ("/api/chats?after=0&limit=1000&other=x", Command::GetChats { user: None, after: None, limit: 500 }),
        ("/api/chats?after=2&user_id=3", Command::GetChats { user, after: 2.try_into().ok(), limit: 50 }),
        ("/api/chats/1?user_id=3", Command::GetChat { user, chat }),
        (
            "/api/chats/1/messages?page=2&per_page=20",
            Command::GetMessages { user: None, chat, page: Page::Newest { skip: 20 }, limit: 20 },
        ),
        (
            "/api/chats/1/messages?before=9&limit=1&user_id=3",
            Command::GetMessages { user, chat, page: Page::Before(Seq(9)), limit: 1 },
        ),
        ("/api/chats/1/events", Command::GetEvents { user: None, chat, after: Seq(0), limit: 50 }),
        ("/api/chats/1/members?after=7", Command::GetMembers { user: None, chat, after: 7.try_into().ok(), limit: 50 }),
        ("/api/users?limit=7", Command::GetUsers { after: None, limit: 7 }),
        ("/api/users/online", Command::GetOnline { user: None, limit: 50 }),
    ] {
        let (answer, asked) = ask(request("GET", path), [Reject::plain(Code::UnknownChat).into()]).await;
        assert_eq!(asked, [expected], "{path}");
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &"unknown_chat".into()));
    }
}

#[actix_web::test]
async fn a_chat_is_shown_after_it_is_made_or_renamed() {
    let body = r#"{"title":"lunch","kind":"open","members":[1,2],"user_id":3}"#;
    let (answer, asked) = ask(with_json("POST", "/api/chats", body), [chat()]).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, Some("/api/chats/5")));
    assert_eq!(answer.json()["title"], "lunch");
    let expected = Command::CreateChat {
        user: 3.try_into().ok(),
        title: "lunch".into(),
        kind: chappe_proto::event::ChatKind::Open,
        members: vec![1.try_into().unwrap(), 2.try_into().unwrap()],
    };
    assert_eq!(asked, [expected]);

    let rename = with_json("PATCH", "/api/chats/1", r#"{"title":"dinner","user_id":3}"#);
    let (answer, asked) = ask(rename, [accepted(false, None), chat()]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["chat_id"].as_u64()), (200, Some(5)));
    assert!(matches!(asked[1], Command::GetChat { .. }), "the engine only said that it is done: {asked:?}");
}

#[actix_web::test]
async fn what_has_nothing_to_show_is_empty() {
    for path in ["/api/chats/1?user_id=3", "/api/chats/1/members/7"] {
        let (answer, _) = ask(request("DELETE", path), [accepted(false, None)]).await;
        assert_eq!((answer.status.as_u16(), answer.bytes.len()), (204, 0), "{path}");
    }
}

#[actix_web::test]
async fn a_history_that_no_longer_reaches_back_says_where_to_go_on() {
    let reset = Reset { chat_id: 1.try_into().unwrap(), head: Seq(9), reason: "beyond the newest".into() };
    let (answer, _) = ask(request("GET", "/api/chats/1/events?after=12"), [Reply::Reset(reset)]).await;
    let expected = json!({"chat_id":1,"events":[],"head":9,"reset":"beyond the newest"});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
}

#[actix_web::test]
async fn a_busy_engine_says_when_to_come_back() {
    let busy = Reject { retry_after_ms: Some(2500), ..Reject::plain(Code::Busy) };
    let (answer, _) = ask(request("GET", "/api/users"), [busy.into()]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("3")));
    assert_eq!((&answer.json()["retryable"], &answer.json()["retry_after_ms"]), (&true.into(), &2500.into()));
}

#[actix_web::test]
async fn a_reply_that_does_not_fit_is_a_fault_and_not_a_panic() {
    let (answer, _) = ask(request("GET", "/api/users"), [Reply::Done]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (500, &"internal".into()));
}
