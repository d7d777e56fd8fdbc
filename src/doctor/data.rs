//! What is in the data folder: who may read it, who uses it, and whether it is whole.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chappe_actors::accounts::store::{self, StoreError};
use chappe_actors::checkup::{self, End};
use chappe_actors::folder::{FolderError, Use};
use chappe_actors::snapshot::names_file;
use chappe_proto::Millis;

use super::Check;
use super::disk::READ_ONLY;
use crate::app;
use crate::auth::SECRET_FILE;
use crate::config::{AuthMode, Config, about};
use crate::tls::OWN_KEY;

/// Tables above this are only looked through if asked for.
const MANY: u64 = 1 << 30;
/// A clock that is behind what was written by more was set back.
const BEHIND: Duration = Duration::from_secs(60);

/// Looks at the folder, if it is there.
pub(super) fn all(config: &Config, holder: &Use, deep: bool, progress: &mut dyn FnMut(u64, u64)) -> Vec<Check> {
    let data = &config.data;
    if !data.is_dir() {
        let text = format!("{} is not there: the server makes it", data.display());
        return vec![Check::ok("data folder", text), clock(None, SystemTime::now())];
    }
    let mut checks = vec![permissions(data), in_use(holder)];
    let end = checkup::log_end(data);
    let last = end.as_ref().ok().and_then(|end| end.at);
    let is_whole = end.as_ref().is_ok_and(|end| end.torn.is_none() && end.at.is_some());
    checks.push(match end {
        Ok(End { head, torn: Some(damage), .. }) => Check::fail(
            "log",
            format!("{damage}: it is in the last row, and the {} records before it are whole", head.0),
            format!(
                "the next start takes the rest of that row off, keeps it in torn-at-{}.bin, and goes on",
                head.0 + 1
            ),
        ),
        Ok(end) => Check::ok("log", format!("{} records, the last of them whole; epoch {}", end.head.0, end.epoch)),
        Err(FolderError::NoLog(_)) => Check::ok("log", "none yet: the server begins one"),
        Err(error) => Check::fail("log", error.to_string(), "see docs/operations.md, \"When the start stops\""),
    });
    checks.push(clock(last, SystemTime::now()));
    checks.push(tables(data, deep));
    checks.extend(accounts(config));
    if deep && is_whole {
        checks.push(every_record(config, holder, progress));
    }
    checks
}

/// The accounts and what is not believed any more, where there are any or tokens are asked for.
fn accounts(config: &Config) -> Option<Check> {
    const NAME: &str = "accounts";
    let lost = "restore the folder from a backup. Without the file tokens that were revoked are believed again: should it be gone, delete \
                token.secret as well, which ends all sessions";
    match store::is_whole(&config.data) {
        Ok(Some(true)) => Some(Check::ok(NAME, "they can be read")),
        Ok(Some(false)) => Some(Check::fail(NAME, format!("{} is damaged", store::FILE), lost)),
        // It says what to do.
        Err(error @ StoreError::Lost { .. }) => Some(Check::fail(NAME, error.to_string(), "")),
        Err(error) => Some(Check::fail(NAME, error.to_string(), lost)),
        Ok(None) if config.auth.mode == AuthMode::Open => None,
        Ok(None) if config.data.join(SECRET_FILE).exists() => {
            Some(Check::warn(NAME, "there are none, and there is a secret that signs tokens", lost))
        }
        Ok(None) => Some(Check::ok(NAME, "none yet: the server makes the file")),
    }
}

fn permissions(data: &Path) -> Check {
    const NAME: &str = "data folder";
    let Ok(folder) = std::fs::metadata(data) else {
        return Check::fail(
            NAME,
            format!("{} cannot be looked at", data.display()),
            "see who owns the folders above it",
        );
    };
    let access = rustix::fs::access(data, rustix::fs::Access::WRITE_OK);
    if access == Err(rustix::io::Errno::ROFS) {
        return Check::fail(NAME, format!("{} cannot be written to", data.display()), READ_ONLY);
    }
    if access.is_err() {
        let owner = format!("it belongs to user {}", folder.uid());
        return Check::fail(
            NAME,
            format!("{} cannot be written to: {owner}", data.display()),
            "run as that user, or chown -R",
        );
    }
    let secrets = [SECRET_FILE, OWN_KEY, names_file::FILE].map(|name| data.join(name));
    let open = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if let Some(secret) = secrets.iter().find(|path| open(path)) {
        return Check::warn(NAME, format!("others can read {}", secret.display()), "chmod 600");
    }
    if open(data) {
        let text = format!("other users can look into {}", data.display());
        return Check::warn(NAME, text, format!("chmod 700 {}", data.display()));
    }
    Check::ok(NAME, format!("{}, for its owner only", data.display()))
}

fn in_use(holder: &Use) -> Check {
    match holder {
        Use::Free => Check::ok("in use", "no server uses it"),
        Use::By(pid) if pid.is_empty() => Check::ok("in use", "a server uses it"),
        Use::By(pid) => Check::ok("in use", format!("a server uses it (process {pid})")),
    }
}

/// Whether it can be the time that the clock shows.
fn clock(last: Option<Millis>, now: SystemTime) -> Check {
    const NAME: &str = "clock";
    let advice = "set the clock (chrony, systemd-timesyncd): tokens and the times of messages go by it";
    let program = std::env::current_exe().and_then(|file| file.metadata()?.modified());
    if let Ok(made) = program
        && now < made
    {
        return Check::fail(NAME, "it shows a time before this program was installed", advice);
    }
    let Some(Millis(last)) = last else { return Check::ok(NAME, "it shows a time that can be") };
    let last = UNIX_EPOCH + Duration::from_millis(last);
    match last.duration_since(now) {
        Ok(ahead) if ahead > BEHIND => {
            let text = format!("it is {} s behind the last record of the log", ahead.as_secs());
            Check::fail(NAME, text, advice)
        }
        _ => Check::ok(NAME, "it shows a time that can be, not before the last record's"),
    }
}

fn tables(data: &Path, deep: bool) -> Check {
    const NAME: &str = "query tables";
    let bytes = checkup::tables_bytes(data);
    let size = about(bytes);
    if bytes == 0 {
        return Check::ok(NAME, "none yet: they are built from the log");
    }
    if bytes > MANY && !deep {
        return Check::ok(NAME, format!("{size}, not looked through: --deep does"));
    }
    let advice = "stop the server and delete query.db with its two: it is built again from the log";
    match checkup::tables_look_whole(data) {
        Ok(found) if found.is_empty() => Check::ok(NAME, format!("{size}, in order")),
        Ok(found) => Check::fail(NAME, found.join("; "), advice),
        Err(error) => Check::fail(NAME, error, advice),
    }
}

/// Reads all of the log; without a server also compares the query tables with it.
fn every_record(config: &Config, holder: &Use, progress: &mut dyn FnMut(u64, u64)) -> Check {
    const NAME: &str = "every record";
    let advice = "restore a backup; see docs/operations.md, \"When the start stops\"";
    if *holder == Use::Free {
        return match app::verify(config) {
            Ok(found) if found.differences.is_empty() => {
                let (records, chats) = (found.records, found.chats);
                Check::ok(NAME, format!("{records} in {chats} chats are whole, and the query tables agree"))
            }
            Ok(_) => {
                let what = "the query tables or the snapshot differ from the log";
                Check::fail(NAME, what, "chappe verify says in what, and what to do")
            }
            Err(error) => Check::fail(NAME, error.to_string(), advice),
        };
    }
    match checkup::every_record(&config.data, progress) {
        Ok(records) => {
            Check::ok(NAME, format!("{records} are whole; the query tables are compared when no server runs"))
        }
        Err(error) => Check::fail(NAME, error.to_string(), advice),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_found() {
        let now = SystemTime::now();
        let at = |ahead: u64| {
            let since = now.duration_since(UNIX_EPOCH).unwrap().as_millis();
            Some(Millis(u64::try_from(since).unwrap() + ahead))
        };
        assert_eq!(clock(at(0), now).verdict, Verdict::Ok);
        assert_eq!(clock(at(90_000), now).verdict, Verdict::Fail);
        assert_eq!(clock(None, UNIX_EPOCH).verdict, Verdict::Fail, "before the program was made");
    }

    #[test]
    fn a_folder_that_others_can_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert_eq!(permissions(folder.path()).verdict, Verdict::Ok);
        mode(0o755);
        assert_eq!(permissions(folder.path()).verdict, Verdict::Warn);
    }
}
