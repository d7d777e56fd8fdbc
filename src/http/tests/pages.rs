//! The pages inside the binary.

use super::*;

#[actix_web::test]
async fn every_page_says_what_it_is_and_what_it_may() {
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/example", "text/html; charset=utf-8"),
        ("/web/app.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
    ] {
        let answer = send(request("GET", path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(content_type)), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src "), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(policy.contains("sha256-"), path == "/example", "{path}: {policy}");
        assert!(!answer.bytes.is_empty(), "{path}");
    }
}

#[actix_web::test]
async fn a_page_that_is_known_is_not_sent_again() {
    for path in ["/", "/api/openapi.json"] {
        let etag = send(request("GET", path)).await.header("etag").unwrap().to_owned();
        for known in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
            let answer = send(request("GET", path).insert_header(("if-none-match", known.clone()))).await;
            assert_eq!((answer.status.as_u16(), answer.bytes.len()), (304, 0), "{path} {known}");
            assert_eq!(answer.header("etag"), Some(&*etag));
        }
        let answer = send(request("GET", path).insert_header(("if-none-match", "\"other\""))).await;
        assert_eq!(answer.status.as_u16(), 200);
    }
}

#[actix_web::test]
async fn every_file_that_a_page_or_script_names_is_there() {
    let mut wanted = vec!["/".to_owned(), "/docs".to_owned()];
    let mut seen = 0;
    while let Some(path) = wanted.get(seen).cloned() {
        seen += 1;
        let answer = send(request("GET", &path)).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
        let quoted = text.split(['"', '\'']).filter(|part| !part.contains(char::is_whitespace));
        for name in quoted.filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
            let file = match name.strip_prefix("./") {
                Some(name) => format!("/web/{name}"),
                None => name.to_owned(),
            };
            if file.starts_with("/web/") && !wanted.contains(&file) {
                wanted.push(file);
            }
        }
    }
    assert!(seen > 5, "{wanted:?}");
}
