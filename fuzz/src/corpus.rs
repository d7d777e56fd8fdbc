//! What a target begins with: the golden vectors of `proto/vectors/`, and the files in `corpus/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Target;

/// The folder of a target's files.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// All that a target begins with, always in the same order.
///
/// # Errors
/// If the folder cannot be read.
pub fn of(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut all = (target.seeds)();
    let mut files: Vec<PathBuf> = match fs::read_dir(folder(target)) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    files.sort();
    for file in files {
        all.push(fs::read(file)?);
    }
    Ok(all)
}

/// One column of a file of vectors, as bytes: text, hexadecimal, or `{"text": …}` and `{"hex": …}`.
pub(crate) fn column(file: &str, name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let is_hex = matches!(name, "body" | "frame" | "hex" | "sealed" | "signed");
    let bytes = |value: &Value| match value {
        Value::String(text) if is_hex => hex(text),
        Value::String(text) => text.clone().into_bytes(),
        other => match (other["text"].as_str(), other["hex"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => hex(text),
            (None, None) => Vec::new(),
        },
    };
    let found: Vec<_> = rows.iter().map(|row| bytes(&row[name])).filter(|bytes| !bytes.is_empty()).collect();
    assert!(!found.is_empty(), "{file} has nothing in {name}");
    found
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()
        .unwrap_or_default()
}
