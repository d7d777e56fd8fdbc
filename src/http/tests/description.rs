//! The description against the server: every route is in it, and what is answered is what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use chappe_actors::reply::{self, Accepted, Reply};
use chappe_proto::code::Code;
use chappe_proto::event::*;
use chappe_proto::message::{Message, MessageType};
use chappe_proto::packet::{ChatSummary, Chats, Events, Messages, Presence, Reset, StatusNow};
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ClientId, Millis, Seq};
use serde_json::Map;

use super::*;
use crate::http::{engine, routing};

pub(super) async fn description() -> Value {
    send(request("GET", "/api/openapi.json")).await.json()
}

#[actix_web::test]
async fn every_route_is_described_and_nothing_else() {
    let described: BTreeSet<(String, String)> = description().await["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    let registered = routing::TABLE
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned())))
        .collect();
    assert_eq!(described, registered);
}

#[actix_web::test]
async fn operations_have_names_of_their_own_and_describe_their_refusals() {
    let api = description().await;
    let mut names = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{place}: a name that stands twice");
            assert!(operation["summary"].is_string(), "{place}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("403"), "{place}: a foreign name is refused everywhere");
            assert!(answers.contains_key("429"), "{place}: so are connections of an address that has too many");
            for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
                let problem = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{place} {status}");
            }
            let in_path = path.matches('{').count();
            let described = |parameter: &&Value| parameter["in"] == "path" && parameter["required"] == true;
            let parameters = operation["parameters"].as_array().map_or(0, |all| all.iter().filter(described).count());
            assert_eq!(parameters, in_path, "{place}");
        }
    }
}

#[actix_web::test]
async fn every_reference_leads_somewhere() {
    fn follow(api: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    assert!(api.pointer(&reference[1..]).is_some(), "{reference}");
                }
                fields.values().for_each(|value| follow(api, value));
            }
            Value::Array(items) => items.iter().for_each(|value| follow(api, value)),
            _ => {}
        }
    }
    let api = description().await;
    follow(&api, &api);
}

/// What is wrong with `value`, by `schema`: as much of JSON Schema as the description uses, and stricter, for a field
/// that is not described is wrong.
fn faults(api: &Value, schema: &Value, value: &Value, place: &str, out: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return faults(api, api.pointer(&reference[1..]).unwrap(), value, place, out);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| {
            let mut faults_of_choice = Vec::new();
            faults(api, choice, value, place, &mut faults_of_choice);
            faults_of_choice.is_empty()
        };
        if choices.iter().filter(fits).count() != 1 {
            out.push(format!("{place}: not one of the choices: {value}"));
        }
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        out.push(format!("{place}: {value} is not one of {allowed:?}"));
    }
    let (mut properties, mut required) = (Map::new(), BTreeSet::new());
    gather(api, schema, &mut properties, &mut required);
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    if value.is_null() && kinds.iter().any(|kind| kind == "null") {
        return;
    }
    match (kinds[0].as_str(), value) {
        (Some("object") | None, Value::Object(fields)) => {
            for missing in required.iter().filter(|name| !fields.contains_key(*name)) {
                out.push(format!("{place}: {missing} is missing"));
            }
            for (name, value) in fields {
                match properties.get(name) {
                    Some(schema) => faults(api, schema, value, &format!("{place}.{name}"), out),
                    None => out.push(format!("{place}: {name} is not described")),
                }
            }
        }
        (Some("array"), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                faults(api, &schema["items"], item, &format!("{place}[{index}]"), out);
            }
        }
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => {}
        (Some("integer"), Value::Number(number)) => {
            let number = number.as_u64().unwrap();
            let bound = |name: &str| schema[name].as_u64();
            if bound("minimum").is_some_and(|min| number < min) || bound("maximum").is_some_and(|max| number > max) {
                out.push(format!("{place}: {number} is out of bounds"));
            }
        }
        (kind, value) => out.push(format!("{place}: {value} is not of type {kind:?}: {schema}")),
    }
}

/// The properties of an object, also where they are put together by `allOf`.
fn gather(api: &Value, schema: &Value, properties: &mut Map<String, Value>, required: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return gather(api, api.pointer(&reference[1..]).unwrap(), properties, required);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(api, part, properties, required);
    }
    properties.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    required.extend(schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()));
}

fn message(full: bool) -> Arc<Message> {
    Arc::new(Message {
        id: 9.try_into().unwrap(),
        chat_id: 1.try_into().unwrap(),
        seq: Seq(4),
        sender_id: 7.try_into().unwrap(),
        content: "Hello!".into(),
        message_type: if full { MessageType::Data } else { MessageType::Text },
        client_id: full.then(|| ClientId::parse("k").unwrap()),
        reply_to: full.then(|| 8.try_into().unwrap()),
        created_at: Millis(1000),
        edited_at: full.then_some(Millis(2000)),
        deleted: full,
        signature: full.then(|| Box::new(Signature { key: Bytes([1; 32]), value: Bytes([2; 64]) })),
    })
}

fn chat(full: bool) -> ChatSummary {
    ChatSummary {
        chat_id: 1.try_into().unwrap(),
        title: "general".into(),
        kind: if full { ChatKind::Direct } else { ChatKind::Group },
        created_by: full.then(|| 7.try_into().unwrap()),
        created_at: Millis(1000),
        members: 2,
        seq: Seq(4),
        read_seq: Seq(0),
        unread: 4,
        last_message: full.then(|| message(true)),
    }
}

fn events(full: bool) -> Vec<Event> {
    let (chat_id, user_id, message_id) = (1.try_into().unwrap(), 7.try_into().unwrap(), 9.try_into().unwrap());
    let (seq, message_seq, at) = (Seq(5), Seq(4), Millis(1000));
    let content = "x".into();
    vec![
        Event::Message(message(full)),
        Event::MessageEdited(MessageEdited { chat_id, seq, message_id, message_seq, user_id, content, edited_at: at }),
        Event::MessageDeleted(MessageDeleted { chat_id, seq, message_id, message_seq, user_id, at }),
        Event::Reaction(Reaction {
            chat_id,
            seq,
            message_id,
            message_seq,
            user_id,
            emoji: "+".into(),
            removed: full,
            at,
        }),
        Event::ChatCreated(ChatCreated {
            chat_id,
            seq,
            title: "x".into(),
            kind: ChatKind::Open,
            created_by: full.then_some(user_id),
            members: vec![user_id],
            at,
        }),
        Event::ChatUpdated(ChatUpdated {
            chat_id,
            seq,
            title: "x".into(),
            deleted: full,
            user_id: full.then_some(user_id),
            at,
        }),
        Event::MemberJoined(MemberJoined { chat_id, seq, user_id, role: Role::Owner, at }),
        Event::MemberLeft(MemberLeft { chat_id, seq, user_id, at }),
    ]
}

const FULL_MESSAGE: &str = r#"{"sender_id":7,"user_id":7,"content":"x","message_type":"Data","client_id":"k","reply_to":null,
    "signature":{"key":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "value":"VFne17ohX_qFqgt0JaF6cLa7EB-S1eKvE_mI2sP8_0kouiNBwh1DpOOJuhdFcbokfSJf1RNaI0wpgitENDDACA"}}"#;
const NEW_KEY: &str = r#"{"public_key":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg","user_id":null}"#;

/// A request and a reply of every sort, with everything in it that may be absent, or without.
fn replies(full: bool) -> Vec<(&'static str, &'static str, &'static str, Reply)> {
    let (chat_id, user) = (1.try_into().unwrap(), 7.try_into().unwrap());
    let accepted = || {
        let message = Some(message(full));
        let message_id = 9.try_into().ok();
        Reply::Accepted(Box::new(Accepted {
            chat: chat_id,
            seq: Seq(4),
            message_id,
            client_id: None,
            duplicate: full,
            message,
        }))
    };
    let refused = || Reply::from(chappe_proto::Reject::plain(if full { Code::Busy } else { Code::UnknownChat }));
    let created = || reply::User {
        id: user,
        nickname: "Ann".into(),
        created_at: Millis(1000),
        public_key: full.then_some(Bytes([7; 32])),
    };
    let member = reply::Member { user, role: Role::Member, read: Seq(0) };
    let status = StatusNow { user_id: user, status_data: "online".into(), last_seen: full.then_some(Millis(1000)) };
    let happened = if full {
        Reply::Reset(Reset { chat_id, head: Seq(4), reason: "beyond the newest".into() })
    } else {
        Reply::Events(Events { chat_id, events: [events(false), events(true)].concat(), head: Seq(5) }.into())
    };
    vec![
        ("GET", "/api/chats", "", Reply::Chats(Chats { chats: vec![chat(full)], has_more: full })),
        (
            "POST",
            "/api/chats",
            r#"{"title":"x","kind":"open","members":[1],"user_id":7}"#,
            Reply::Chat(Box::new(chat(full))),
        ),
        ("GET", "/api/chats/1", "", Reply::Chat(Box::new(chat(full)))),
        ("PATCH", "/api/chats/1", r#"{"title":"x","user_id":null}"#, Reply::Chat(Box::new(chat(full)))),
        ("DELETE", "/api/chats/1", "", accepted()),
        (
            "GET",
            "/api/chats/1/members",
            "",
            Reply::Members(reply::Members { chat: chat_id, members: vec![member], has_more: full }),
        ),
        ("POST", "/api/chats/1/members", r#"{"user_id":7,"by":1}"#, accepted()),
        ("DELETE", "/api/chats/1/members/7", "", accepted()),
        (
            "GET",
            "/api/chats/1/messages",
            "",
            Reply::Messages(Messages { chat_id, messages: vec![message(full)], has_more: full }.into()),
        ),
        ("POST", "/api/chats/1/messages", FULL_MESSAGE, accepted()),
        ("GET", "/api/chats/1/events", "", happened),
        ("PATCH", "/api/messages/9?user_id=7", r#"{"content":"x","user_id":7}"#, accepted()),
        ("DELETE", "/api/messages/9?user_id=7", "", accepted()),
        ("GET", "/api/users", "", Reply::Users(reply::Users { users: vec![created()], has_more: full })),
        ("POST", "/api/users", r#"{"nickname":"Ann"}"#, Reply::User(created())),
        ("GET", "/api/users/online", "", Reply::Presence(Presence { users: vec![status] })),
        ("GET", "/api/users/7", "", Reply::User(created())),
        ("PUT", "/api/users/7/key?user_id=7", NEW_KEY, Reply::User(created())),
        ("DELETE", "/api/users/7/key?user_id=7", "", Reply::User(created())),
        ("POST", "/api/sessions", r#"{"nickname":"Ann","password":"x","cookie":true}"#, Reply::Done),
        ("DELETE", "/api/sessions", "", Reply::Done),
        ("GET", "/api/sessions/current", "", Reply::Done),
        ("DELETE", "/api/sessions/current", "", Reply::Done),
        ("POST", "/api/sessions/current/renew", "", Reply::Done),
        ("PUT", "/api/users/7/password", r#"{"current":"x","password":"y"}"#, Reply::Done),
        ("GET", "/api/limits", "", Reply::Done),
        ("GET", "/health", "", Reply::Done),
        ("GET", "/health/live", "", Reply::Done),
        ("GET", "/health/ready", "", Reply::Done),
        ("GET", "/metrics", "", Reply::Done),
        ("GET", "/api/auth", "", Reply::Done),
        ("GET", "/api/openapi.json", "", Reply::Done),
        ("GET", "/api/chats/1", "", refused()),
        ("POST", "/api/chats", "{", Reply::Done),
    ]
}

/// The description of a path's operation: the first whose pattern fits, as the router has it. Null if there is none.
pub(super) fn operation<'a>(api: &'a Value, method: &str, path: &str) -> &'a Value {
    let path = path.split('?').next().unwrap();
    let fits = |pattern: &str| {
        pattern.split('/').count() == path.split('/').count()
            && pattern.split('/').zip(path.split('/')).all(|(part, real)| part.starts_with('{') || part == real)
    };
    let pattern = routing::TABLE.iter().find(|(pattern, _)| fits(pattern)).map_or("", |(pattern, _)| pattern);
    &api["paths"][pattern][method.to_lowercase()]
}

/// Whether it is a body at all, and not one that is refused.
fn answer_is_expected(body: &str) -> bool {
    body.ends_with('}')
}

#[actix_web::test]
async fn what_is_answered_is_what_is_described() {
    let api = description().await;
    let mut answered = BTreeSet::new();
    for full in [false, true] {
        for (method, path, body, reply) in replies(full) {
            let mut reply = Some(reply);
            engine::script(move |_| reply.take().unwrap());
            if answer_is_expected(body) {
                let mut out = Vec::new();
                let schema = &operation(&api, method, path)["requestBody"]["content"]["application/json"]["schema"];
                faults(
                    &api,
                    schema,
                    &serde_json::from_str(body).unwrap(),
                    &format!("body of {method} {path}"),
                    &mut out,
                );
                assert!(out.is_empty(), "{out:#?}");
            }
            let call = if body.is_empty() { request(method, path) } else { with_json(method, path, body) };
            let answer = send(call).await;
            let place = format!("{method} {path} {}", answer.status);
            let described = &operation(&api, method, path)["responses"][answer.status.as_str()];
            assert!(described.is_object(), "{place} is not described");
            answered.insert(operation(&api, method, path)["operationId"].as_str().unwrap().to_owned());
            let Some(content_type) = answer.header("content-type") else {
                assert!(described["content"].is_null(), "{place}: an answer that is described as having content");
                continue;
            };
            let content = &described["content"][content_type.split(';').next().unwrap()];
            assert!(content.is_object(), "{place}: {content_type} is not described: {described}");
            if content_type.contains("json") && path != "/api/openapi.json" {
                let mut out = Vec::new();
                faults(&api, &content["schema"], &answer.json(), &place, &mut out);
                assert!(out.is_empty(), "{out:#?}");
            }
        }
    }
    assert_eq!(answered.len(), routing::TABLE.iter().map(|(_, methods)| methods.len()).sum::<usize>(), "{answered:?}");
}
