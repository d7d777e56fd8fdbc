//! What somebody with an account can be called.

use chappe_proto::{Code, Reject};

use crate::bounds;

/// A nickname to log in with: 1 to 64 bytes, without spaces around it or control characters in it, and no number, which
/// would be taken for an id.
///
/// # Errors
/// `invalid_field` or `too_large`.
pub fn check(nickname: &str) -> Result<(), Reject> {
    bounds::nickname(nickname)?;
    let refuse = |why: &'static str| Err(Reject::new(Code::InvalidField, why));
    if nickname.trim() != nickname {
        return refuse("nickname begins or ends with a space");
    }
    if nickname.chars().any(char::is_control) {
        return refuse("nickname has a control character in it");
    }
    if nickname.chars().all(|character| character.is_ascii_digit()) {
        return refuse("nickname is a number, which would be taken for an id");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_can_be_typed_and_is_no_id() {
        for (nickname, fits) in [
            ("ann", true),
            ("Ann Lee", true),
            ("Zoë 🦊", true),
            ("4you", true),
            ("", false),
            (" ann", false),
            ("ann\n", false),
            ("a\u{7}n", false),
            ("1001", false),
        ] {
            assert_eq!(check(nickname).is_ok(), fits, "{nickname:?}");
        }
        assert!(check(&"x".repeat(65)).is_err());
    }
}
