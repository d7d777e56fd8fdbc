//! Each route of the API.

use serde_json::{Value, json};

use super::{ANN, BOB, EVE, SECRET, Scene, bad_tokens};
use crate::support::http::{Answer, Http};
use crate::support::server::TestServer;

/// A route of the description.
struct Route {
    method: String,
    /// As it is described, with braces.
    pattern: String,
    operation: Value,
}

impl Route {
    fn all(server: &TestServer) -> (Value, Vec<Self>) {
        let api = Http::to(server).get("/api/openapi.json").expect(200);
        let mut all = Vec::new();
        for (pattern, item) in api["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let (method, pattern) = (method.to_uppercase(), pattern.clone());
                all.push(Self { method, pattern, operation: operation.clone() });
            }
        }
        assert!(all.len() > 20, "the description has routes");
        (api, all)
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.pattern)
    }

    /// Where it leads: to what is Ann's.
    fn path(&self, scene: &Scene) -> String {
        let ids = [("chat_id", scene.chat), ("message_id", scene.of_ann), ("member_id", BOB), ("user_id", ANN)];
        ids.iter().fold(self.pattern.clone(), |path, (name, id)| path.replace(&format!("{{{name}}}"), &id.to_string()))
    }

    /// A body that would do, if it were Ann who sent it.
    fn body(&self, scene: &Scene) -> Option<Value> {
        self.operation.get("requestBody")?;
        Some(match self.name().as_str() {
            "POST /api/chats" => json!({"title": "x"}),
            "PATCH /api/chats/{chat_id}" => json!({"title": "x"}),
            "POST /api/chats/{chat_id}/members" => json!({"user_id": EVE}),
            "POST /api/chats/{chat_id}/messages" => json!({"content": "x", "reply_to": scene.of_ann}),
            "PATCH /api/messages/{message_id}" => json!({"content": "x"}),
            "POST /api/users" => json!({"nickname": "new", "password": "long enough"}),
            "POST /api/sessions" => json!({"nickname": "nobody", "password": "long enough"}),
            "PUT /api/users/{user_id}/password" => json!({"password": "long enough"}),
            "PUT /api/users/{user_id}/key" => json!({"public_key": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}),
            new => panic!("{new} is new: say here what its body is"),
        })
    }

    /// What a stranger is answered: a code, or nothing where there is something for everybody.
    fn for_a_stranger(&self) -> Option<&'static str> {
        match self.name().as_str() {
            name if name.contains("{chat_id}") => Some("not_a_member"),
            name if name.contains("{message_id}") => Some("unknown_message"),
            "POST /api/users" | "PUT /api/users/{user_id}/password" => Some("forbidden"),
            "POST /api/sessions" => Some("not_authenticated"),
            "POST /api/sessions/current/renew" => Some("forbidden"),
            "PUT /api/users/{user_id}/key" | "DELETE /api/users/{user_id}/key" => Some("identity_mismatch"),
            "GET /api/chats" | "POST /api/chats" | "GET /api/users" | "GET /api/users/online" => None,
            // Who there is may be known to all who are somebody.
            "GET /api/users/{user_id}" => None,
            // It ends what is its own.
            "DELETE /api/sessions" | "DELETE /api/sessions/current" | "GET /api/sessions/current" => None,
            _ if self.is_open() => None,
            new => panic!("{new} is new: say here what it answers to a stranger"),
        }
    }

    /// Whether it is for everybody, also without a token.
    fn is_open(&self) -> bool {
        [
            "GET /api/openapi.json",
            "GET /api/limits",
            "GET /api/auth",
            "POST /api/sessions",
            "GET /health",
            "GET /health/live",
            "GET /health/ready",
            "GET /metrics",
        ]
        .contains(&self.name().as_str())
    }

    /// Fields of the body that say who asks.
    fn claims(&self, api: &Value) -> Vec<&'static str> {
        let reference = &self.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(schema) = reference.as_str().and_then(|reference| api.pointer(&reference[1..])) else { return vec![] };
        let known = ["user_id", "sender_id", "by"];
        let has = |name: &&&str| schema["properties"].get(**name).is_some();
        let all: Vec<_> = known.iter().filter(has).copied().collect();
        // Whom one adds is not who one is.
        if all.contains(&"by") { vec!["by"] } else { all }
    }

    fn takes_query(&self, name: &str) -> bool {
        let is_it = |parameter: &Value| parameter["in"] == "query" && parameter["name"] == name;
        self.operation["parameters"].as_array().is_some_and(|all| all.iter().any(is_it))
    }
}

fn call(scene: &Scene, route: &Route, headers: &[(&str, &str)], path: &str, body: Option<&Value>) -> Answer {
    let answer = Http::to(&scene.server).call(&route.method, path, headers, body);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains(SECRET), "{}: {text}", route.name());
    answer
}

#[test]
fn no_route_of_the_api_answers_without_a_good_token_but_for_those_that_are_for_all() {
    let scene = Scene::new();
    let (_, routes) = Route::all(&scene.server);
    let bad = bad_tokens(&scene.server);
    for route in &routes {
        let (path, body) = (route.path(&scene), route.body(&scene));
        let open = route.is_open();
        let answer = call(&scene, route, &[], &path, body.as_ref());
        // Logging in with a wrong password is refused with the same status.
        if open {
            assert!(
                answer.status == 200 || route.name() == "POST /api/sessions",
                "{}: {}",
                route.name(),
                answer.status
            );
            assert_eq!(route.operation["security"], json!([]), "{}", route.name());
            continue;
        }
        assert_eq!(answer.refusal(), (401, "not_authenticated".into()), "{}", route.name());
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"chappe\""));
        assert_ne!(route.operation["security"], json!([]), "{}", route.name());
        for claim in [("X-Chappe-User", "7"), ("Cookie", "chappe_session=x")] {
            let answer = call(&scene, route, &[claim], &path, body.as_ref());
            assert_eq!(answer.status, 401, "{} with {claim:?}", route.name());
        }
        for (what, token, code) in &bad {
            let bearer = format!("Bearer {token}");
            let answer = call(&scene, route, &[("Authorization", &bearer)], &path, body.as_ref());
            assert_eq!(answer.refusal(), (401, (*code).into()), "{} with a token that is {what}", route.name());
        }
        if route.method == "GET" {
            let written = path.replacen("/api/", "/%61pi/", 1);
            let answer = call(&scene, route, &[], &written, None);
            assert_eq!(answer.status, 401, "{} written otherwise", route.name());
        }
    }
}

#[test]
fn a_stranger_and_a_removed_member_learn_and_change_nothing_by_any_route() {
    let scene = Scene::new();
    scene.remove_bob();
    let before = scene.server.metric("chappe_log_position");
    let (_, routes) = Route::all(&scene.server);
    for user in [EVE, BOB] {
        for route in &routes {
            if route.name() == "POST /api/chats" {
                continue;
            }
            // A token of its own for each: some routes end it.
            let bearer = format!("Bearer {}", scene.server.token(user));
            let body = route.body(&scene);
            let answer = call(&scene, route, &[("Authorization", &bearer)], &route.path(&scene), body.as_ref());
            match (route.for_a_stranger(), user) {
                // Who is out already may leave once more, and is told so.
                (Some(_), BOB) if route.pattern.contains("{member_id}") => assert!(answer.status >= 400, "{answer:?}"),
                (Some(code), _) => assert_eq!(answer.refusal().1, code, "{} as {user}", route.name()),
                (None, _) => assert!(answer.status < 300, "{} as {user}: {answer:?}", route.name()),
            }
            if route.name() == "GET /api/chats" {
                let chats = answer.json();
                let all = chats["chats"].as_array().expect("chats");
                assert!(all.iter().all(|chat| chat["chat_id"] != scene.chat), "{chats}");
            }
            if route.name() == "GET /api/users/online" {
                let users = answer.json();
                assert!(
                    users["users"].as_array().expect("users").iter().all(|other| other["user_id"] != ANN),
                    "{users}"
                );
            }
        }
    }
    assert_eq!(scene.server.metric("chappe_log_position"), before, "nothing was written");
}

#[test]
fn no_route_takes_somebody_elses_id() {
    let scene = Scene::new();
    let (api, routes) = Route::all(&scene.server);
    let bearer = format!("Bearer {}", scene.server.token(EVE));
    let mut tried = 0;
    for route in routes.iter().filter(|route| !route.is_open()) {
        let (path, body) = (route.path(&scene), route.body(&scene));
        let mut refuse = |headers: &[(&str, &str)], path: &str, body: Option<&Value>| {
            let headers = [&[("Authorization", bearer.as_str())], headers].concat();
            let answer = call(&scene, route, &headers, path, body);
            assert_eq!(answer.refusal().1, "identity_mismatch", "{} {path} {body:?}", route.name());
            tried += 1;
        };
        if route.takes_query("user_id") {
            refuse(&[], &format!("{path}?user_id={ANN}"), body.as_ref());
            refuse(&[("X-Chappe-User", "7")], &path, body.as_ref());
            refuse(&[("X-Chappe-User", "7")], &format!("{path}?user_id={EVE}"), body.as_ref());
        }
        for claim in route.claims(&api) {
            let mut body = body.clone().expect("it has a body");
            body[claim] = json!(ANN);
            refuse(&[], &path, Some(&body));
        }
    }
    assert!(tried > 30, "{tried} ways were tried");
}
