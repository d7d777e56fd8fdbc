//! `chappe explain`: what a code means and what to do. The texts are the protocol's and [`Exit`]'s own.

use std::fmt::Write;
use std::process::ExitCode;

use chappe_proto::code::Explanation;
use chappe_proto::{CloseCode, Code};

use crate::cli::{complain, print};
use crate::config::nearest;
use crate::exit::Exit;

/// What `chappe explain` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An error code such as rate_limited, a close code such as 4201 or silent, or an exit code such as 3
    code: Option<String>,
}

/// Explains one code, or lists all.
pub(super) fn run(args: &Args) -> ExitCode {
    let Some(word) = &args.code else { return print(&list()) };
    let found = explain(word);
    if found.is_empty() {
        let names = Code::ALL.iter().map(|code| code.as_str()).chain(CloseCode::ALL.iter().map(|code| code.as_str()));
        let meant = match nearest(&spelt(word), names) {
            Some(name) => format!("did you mean {name}?"),
            None => "`chappe explain` lists all there are".to_owned(),
        };
        complain(&format!("error: there is no code {word:?}; {meant}"));
        return Exit::Usage.into();
    }
    print(&found)
}

/// The way codes are spelt.
fn spelt(word: &str) -> String {
    word.trim().to_lowercase().replace('-', "_")
}

/// Everything the word stands for; some names are an error code and a close code.
fn explain(word: &str) -> String {
    let word = spelt(word);
    let mut text = String::new();
    for code in Code::ALL.iter().filter(|code| code.as_str() == word) {
        let retry = if code.retryable() { "a retry can help" } else { "a retry does not help" };
        say(&mut text, &format!("{code}: error code, HTTP status {}, {retry}", code.http_status()), code.explain());
    }
    for code in CloseCode::ALL.iter().filter(|code| code.as_str() == word || code.number().to_string() == word) {
        let reconnect = match code.number() {
            4000..4100 => "do not reconnect",
            4100..4200 => "back off, then reconnect",
            _ => "reconnect at once",
        };
        say(&mut text, &format!("{}: close code {}, {reconnect}", code.as_str(), code.number()), code.explain());
    }
    for exit in Exit::ALL.iter().filter(|exit| exit.code().to_string() == word) {
        let (meaning, remedy) = exit.meaning();
        let _ = writeln!(text, "{}: exit code of the process\n  {meaning}\n  operator: {remedy}", exit.code());
    }
    text
}

fn say(text: &mut String, title: &str, explanation: Explanation) {
    let Explanation { meaning, client, operator, .. } = explanation;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title}\n  {meaning}\n  client:   {client}\n  operator: {operator}");
}

fn list() -> String {
    let mut text = "Error codes, in answers on every door:\n".to_owned();
    for code in Code::ALL {
        let _ = writeln!(text, "  {:<24} {}", code.as_str(), code.explain().meaning);
    }
    text.push_str("\nClose codes, when a connection is ended:\n");
    for code in CloseCode::ALL {
        let _ = writeln!(text, "  {} {:<19} {}", code.number(), code.as_str(), code.explain().meaning);
    }
    text.push_str("\nExit codes of the process:\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:<24} {}", exit.code(), exit.meaning().0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_and_explained() {
        let list = list();
        let names = Code::ALL.iter().map(|code| code.as_str().to_owned());
        let names = names.chain(CloseCode::ALL.iter().map(|code| code.number().to_string()));
        let names = names.chain(Exit::ALL.iter().map(|exit| exit.code().to_string()));
        for name in names {
            assert!(list.contains(&format!("  {name} ")), "{name} is not listed");
            assert!(explain(&name).starts_with(&name) || explain(&name).contains(&name), "{name} is not explained");
        }
    }

    #[test]
    fn a_name_with_two_meanings_gets_both() {
        let text = explain("Shutting-Down");
        assert!(text.contains("error code, HTTP status 503") && text.contains("close code 4201"), "{text}");
    }
}
