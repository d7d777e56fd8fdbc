//! Which claims are read, and how.

use super::*;

fn object(json: &str) -> Object {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_time_is_a_number_of_seconds_and_may_have_a_fraction() {
    for (json, time) in [
        ("12", Ok(Some(12_000))),
        ("12.345", Ok(Some(12_345))),
        ("1763000000.123", Ok(Some(1_763_000_000_123))),
        ("1e300", Ok(Some(LAST_SECOND * 1000))),
        ("18446744073709551615", Ok(Some(LAST_SECOND * 1000))),
        ("null", Ok(None)),
        ("-1", Err(())),
        ("\"12\"", Err(())),
        ("true", Err(())),
        ("[12]", Err(())),
    ] {
        let found = object(&format!("{{\"exp\":{json}}}")).time("exp");
        assert_eq!(found, time.map(|time| time.map(Millis)), "{json}");
    }
}

#[test]
fn a_user_is_a_positive_integer_written_in_one_way() {
    for (json, user) in [
        ("7", Some(7)),
        ("\"7\"", Some(7)),
        ("9007199254740991", Some((1 << 53) - 1)),
        ("9007199254740992", None),
        ("0", None),
        ("-7", None),
        ("7.0", None),
        ("\"+7\"", None),
        ("\"007\"", None),
        ("\" 7\"", None),
        ("\"٧\"", None),
        ("\"ann\"", None),
        ("[7]", None),
        ("null", None),
    ] {
        let found = object(&format!("{{\"sub\":{json}}}")).user("sub");
        assert_eq!(found.map(UserId::get), user, "{json}");
    }
}
