//! The one dispatcher: decides whether a client's packet may proceed, and what it asks of the engine. Every door's
//! packets come through here. Plain: reads no clock, never blocks.

use chappe_proto::limits::Limits;
use chappe_proto::request::{NewMessage, Request, VERSION};
use chappe_proto::{Code, Reject};

use super::identity::Identity;
use crate::bounds;
use crate::command::{Command, Post, PresenceOf};
use crate::principal::Principal;

/// What `request` asks of the engine. A `Ping` never gets here: the session answers it. `shown` is who the token of a
/// Hello speaks for, in token mode.
///
/// # Errors
/// `not_authenticated`, `identity_mismatch`, `unsupported_version`, `invalid_field` or `too_large`.
pub fn admit(
    identity: &mut Identity,
    limits: &Limits,
    request: Request,
    shown: Option<&Principal>,
) -> Result<Command, Reject> {
    if !matches!(request, Request::Hello(_)) {
        // Here, for all packets there are and will be: no arm below can forget it.
        identity.admits()?;
    }
    match request {
        Request::Hello(hello) => {
            if hello.version != VERSION {
                let message = format!("this server speaks version {VERSION}, not {}", hello.version);
                return Err(Reject::new(Code::UnsupportedVersion, message));
            }
            let user = identity.introduce(hello.user_id, shown)?;
            let nickname = shown.and_then(|principal| principal.nickname.clone());
            Ok(Command::Hello { user, nickname, heads: hello.heads })
        }
        Request::SendMessage(send) => {
            let NewMessage { chat_id: chat, sender_id, content, message_type, client_id, reply_to, signature } =
                send.message;
            let sender = identity.user(sender_id)?;
            bounds::content(&content, limits)?;
            bounds::signature(signature.as_deref(), chat, sender, client_id.as_ref(), &content)?;
            let post = Post { chat, sender, content, message_type, client_id, reply_to, signature };
            Ok(Command::Post(Box::new(post)))
        }
        Request::EditMessage(edit) => {
            let user = identity.user(None)?;
            bounds::content(&edit.content, limits)?;
            Ok(Command::Edit { user, message: edit.message_id, content: edit.content })
        }
        Request::DeleteMessage(delete) => {
            Ok(Command::Delete { user: identity.user(None)?, message: delete.message_id })
        }
        Request::React(react) => {
            let user = identity.user(None)?;
            bounds::emoji(&react.emoji)?;
            Ok(Command::React { user, message: react.message_id, emoji: react.emoji, remove: react.remove })
        }
        Request::MarkRead(mark) => {
            let user = identity.user(None)?;
            bounds::seq("seq", mark.seq)?;
            Ok(Command::MarkRead { user, chat: mark.chat_id, seq: mark.seq })
        }
        Request::GetChats(get) => {
            Ok(Command::GetChats { user: identity.known(), after: get.after, limit: bounds::page_limit(get.limit)? })
        }
        Request::GetMessages(get) => {
            let (page, limit) = bounds::page(&get)?;
            Ok(Command::GetMessages { user: identity.known(), chat: get.chat_id, page, limit })
        }
        Request::GetEvents(get) => {
            bounds::seq("after", get.after)?;
            let limit = bounds::page_limit(get.limit)?;
            Ok(Command::GetEvents { user: identity.known(), chat: get.chat_id, after: get.after, limit })
        }
        Request::Subscribe(subscribe) => {
            bounds::list_len("chat_ids", subscribe.chat_ids.len())?;
            Ok(Command::Subscribe { user: identity.known(), chats: subscribe.chat_ids })
        }
        Request::Unsubscribe(unsubscribe) => {
            bounds::list_len("chat_ids", unsubscribe.chat_ids.len())?;
            Ok(Command::Unsubscribe { user: identity.known(), chats: unsubscribe.chat_ids })
        }
        Request::Typing(typing) => {
            let user = identity.user(typing.user_id)?;
            let stop = match typing.status_data.as_deref() {
                None | Some("start") => false,
                Some("stop") => true,
                Some(_) => return Err(Reject::new(Code::InvalidField, "status_data of Typing is start or stop")),
            };
            Ok(Command::Typing { user, chat: typing.chat_id, stop })
        }
        Request::Status(status) => {
            let user = identity.user(status.user_id)?;
            bounds::status(&status.status_data)?;
            Ok(Command::Status { user, text: status.status_data })
        }
        Request::GetPresence(get) => {
            let of = match (get.user_ids, get.chat_id) {
                (Some(users), None) => {
                    bounds::list_len("user_ids", users.len())?;
                    PresenceOf::Users(users)
                }
                (None, Some(chat)) => PresenceOf::Chat(chat),
                _ => return Err(Reject::new(Code::InvalidField, "GetPresence takes user_ids or chat_id, one of them")),
            };
            Ok(Command::GetPresence { user: identity.known(), of })
        }
        // Not reachable from a session; harmless if it were.
        Request::Ping(_) => Ok(Command::GetOnline { user: identity.known(), limit: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::message::MessageType;
    use chappe_proto::request::{GetPresence, Hello, MarkRead, Ping, SendMessage, Status, Subscribe, Typing};
    use chappe_proto::signature::{Signed, SigningKey};
    use chappe_proto::{ChatId, ClientId, Millis, Seq, UserId};

    use super::*;
    use crate::principal::{Standing, TokenId};

    fn user(id: u64) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn chat() -> ChatId {
        ChatId::parse(1).unwrap()
    }

    fn hello(user_id: Option<UserId>, version: u32) -> Request {
        Request::Hello(Hello { version, user_id, ..Hello::default() })
    }

    fn code(identity: &mut Identity, request: Request) -> Option<Code> {
        admit(identity, &Limits::default(), request, None).err().map(|reject| reject.code)
    }

    #[test]
    fn a_hello_names_a_user_and_speaks_our_version() {
        let mut identity = Identity::default();
        assert_eq!(code(&mut identity, hello(Some(user(1)), 2)), Some(Code::UnsupportedVersion));
        assert_eq!(code(&mut identity, hello(None, 1)), Some(Code::NotAuthenticated));
        assert_eq!(code(&mut identity, hello(Some(user(1)), 1)), None);
        assert_eq!(code(&mut identity, hello(Some(user(1)), 1)), None, "twice is once");
        assert_eq!(code(&mut identity, hello(Some(user(2)), 1)), Some(Code::IdentityMismatch));
    }

    #[test]
    fn a_packet_agrees_with_the_hello() {
        let mut identity = Identity::default();
        let status = |id| Request::Status(Status { user_id: id, status_data: "online".into() });
        assert_eq!(code(&mut identity, status(None)), Some(Code::NotAuthenticated));
        assert_eq!(code(&mut identity, status(Some(user(7)))), None, "open mode takes a client's word");
        assert_eq!(code(&mut identity, hello(Some(user(1)), 1)), None);
        assert_eq!(code(&mut identity, status(None)), None);
        assert_eq!(code(&mut identity, status(Some(user(7)))), Some(Code::IdentityMismatch));
    }

    fn principal(id: u64) -> Principal {
        Principal {
            user: user(id),
            nickname: Some("Ann".into()),
            standing: Standing::User,
            token: TokenId([0; 16]),
            issued_at: Millis(0),
            expires_at: Millis(1),
        }
    }

    #[test]
    fn in_token_mode_only_a_token_says_who_asks() {
        let mut identity = Identity::by_token();
        let status = |id| Request::Status(Status { user_id: id, status_data: "online".into() });
        assert_eq!(code(&mut identity, status(Some(user(7)))), Some(Code::NotAuthenticated), "a word is not enough");
        let subscribe = || Request::Subscribe(Subscribe { chat_ids: vec![chat()] });
        assert_eq!(code(&mut identity, subscribe()), Some(Code::NotAuthenticated), "also where no user is needed");
        assert_eq!(code(&mut identity, hello(Some(user(7)), 1)), Some(Code::NotAuthenticated));
        let mut say = |request, id| {
            admit(&mut identity, &Limits::default(), request, Some(&principal(id))).map_err(|reject| reject.code)
        };
        assert_eq!(say(hello(Some(user(8)), 1), 7), Err(Code::IdentityMismatch));
        let hello_of_ann = Command::Hello { user: user(7), nickname: Some("Ann".into()), heads: false };
        assert_eq!(say(hello(Some(user(7)), 1), 7), Ok(hello_of_ann.clone()));
        assert_eq!(say(hello(None, 1), 7), Ok(hello_of_ann), "a second one renews");
        assert_eq!(say(hello(None, 1), 8), Err(Code::IdentityMismatch));
        assert_eq!(code(&mut identity, status(None)), None);
        assert_eq!(code(&mut identity, status(Some(user(8)))), Some(Code::IdentityMismatch));
        assert_eq!(code(&mut identity, subscribe()), None);
    }

    #[test]
    fn a_signature_fits_what_it_signs() {
        let mut identity = Identity::default();
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let client_id = ClientId::parse("c-1").unwrap();
        let what = Signed { chat: chat(), sender: user(1), client_id: &client_id, content: "hello" };
        let signature = Some(Box::new(key.sign(&what)));
        let good = NewMessage {
            chat_id: chat(),
            sender_id: Some(user(1)),
            content: "hello".into(),
            message_type: MessageType::Text,
            client_id: Some(client_id.clone()),
            reply_to: None,
            signature,
        };
        let mut send = |change: &dyn Fn(&mut NewMessage)| {
            let mut message = good.clone();
            change(&mut message);
            code(&mut identity, Request::SendMessage(SendMessage { message }))
        };
        assert_eq!(send(&|_| ()), None);
        assert_eq!(send(&|m| m.message_type = MessageType::Data), None, "what is signed is the content");
        assert_eq!(send(&|m| m.client_id = None), Some(Code::InvalidField));
        assert_eq!(send(&|m| m.content = "hullo".into()), Some(Code::BadSignature));
        assert_eq!(send(&|m| m.sender_id = Some(user(2))), Some(Code::BadSignature));
        assert_eq!(send(&|m| m.client_id = ClientId::parse("c-2").ok()), Some(Code::BadSignature));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let mut identity = Identity::default();
        code(&mut identity, hello(Some(user(1)), 1));
        let too_many = vec![chat(); 1001];
        for (request, expected) in [
            (Request::Subscribe(Subscribe { chat_ids: too_many }), Code::TooLarge),
            (Request::GetPresence(GetPresence::default()), Code::InvalidField),
            (Request::MarkRead(MarkRead { chat_id: chat(), seq: Seq(u64::MAX) }), Code::InvalidField),
            (
                Request::Typing(Typing { chat_id: chat(), user_id: None, status_data: Some("dance".into()) }),
                Code::InvalidField,
            ),
            (Request::Status(Status { user_id: None, status_data: "x".repeat(65).into() }), Code::TooLarge),
        ] {
            assert_eq!(code(&mut identity, request.clone()), Some(expected), "{request:?}");
        }
        assert_eq!(code(&mut identity, Request::Ping(Ping::default())), None);
    }
}
