//! The file of accounts and denials. The server and the command line have it open at the same time.
//!
//! Small and seldom written: every change is on disk when its function returns.

use std::path::{Path, PathBuf};

use chappe_proto::{Millis, UserId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::denials::Denials;
use super::file;
pub use super::file::{FILE, StoreError, copy, is_whole};
use super::known::Known;
use super::{Account, NewAccount};
use crate::folder::{is_full, log_error};
use crate::free::first_free;
use crate::log::to_sql;
use crate::passed;
use crate::principal::{Denial, Standing, TokenId};

/// The greatest id that is left to those who choose one.
const LAST_CHOSEN: u64 = 1000;
/// How much longer than it lives a revoked token is remembered.
const LENIENCE_MS: u64 = 60_000;

const ACCOUNT: &str = "SELECT user, nickname, admin, coalesce(disabled, 0), created_at, password, serial
    FROM accounts LEFT JOIN standing USING (user)";

/// The accounts, open.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    connection: Connection,
}

/// Somebody who is to get an account.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Their id; `None`: the next one that nobody has.
    pub user: Option<UserId>,
    /// What people will call them.
    pub nickname: &'a str,
    /// What is kept of the password; `None`: nobody logs in.
    pub password: Option<&'a str>,
    /// What they may do.
    pub standing: Standing,
}

/// An account as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) account: Account,
    pub(super) password: Option<String>,
    serial: i64,
}

impl Store {
    /// Opens the file in `folder`, or makes it. The folder has to exist.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let connection = file::open(folder).map_err(|error| match error {
            // SQLite says "disk I/O error" where its index finds no room.
            StoreError::Sqlite { path, .. } if is_full(folder) => {
                StoreError::Io { path, source: std::io::ErrorKind::StorageFull.into() }
            }
            error => error,
        })?;
        Ok(Self { folder: folder.to_owned(), connection })
    }

    fn sqlite(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { path: self.folder.join(FILE).display().to_string(), source }
    }

    /// Makes an account. Where no id is chosen it is one that nobody has or had, whether a server uses the folder or not.
    ///
    /// # Errors
    /// [`StoreError::NicknameTaken`], [`StoreError::IdTaken`], [`StoreError::IdDenied`], [`StoreError::NoIdLeft`],
    /// [`StoreError::Unknowable`]; the others if it cannot be written.
    pub fn add(&mut self, draft: &Draft<'_>, now: Millis) -> Result<Account, StoreError> {
        // Before the file is held: reading the log may take a while.
        let known = if draft.user.is_none() { Known::open(&self.folder)? } else { Known::default() };
        let folder = self.folder.clone();
        self.insert(draft, now, |change| match draft.user {
            Some(user) => {
                let denied = "SELECT 1 FROM standing WHERE user = ?1 AND disabled";
                if change.prepare_cached(denied)?.exists([to_sql(user.get())])? {
                    return Err(StoreError::IdDenied(user).into());
                }
                Ok(user)
            }
            None => {
                let taken = |id| {
                    let known = known.has(id).map_err(|source| StoreError::from(log_error(&folder, source)))?;
                    Ok::<_, Refusal>(known || is_named(change, id)?)
                };
                Ok(first_free(LAST_CHOSEN + 1, taken)?.ok_or(StoreError::NoIdLeft)?)
            }
        })
    }

    /// Makes an account under an id that no user has.
    ///
    /// # Errors
    /// As for [`Store::add`]; [`StoreError::IdTaken`] where this file names the id in any way.
    pub(super) fn add_as(&mut self, user: UserId, draft: &Draft<'_>, now: Millis) -> Result<Account, StoreError> {
        self.insert(draft, now, |change| {
            if is_named(change, user.get())? { Err(StoreError::IdTaken(user).into()) } else { Ok(user) }
        })
    }

    /// An id from `from` on that this file does not name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn unnamed(&self, from: Option<UserId>) -> Result<UserId, StoreError> {
        let from = from.map_or(0, UserId::get).max(LAST_CHOSEN + 1);
        let free = first_free(from, |id| is_named(&self.connection, id)).map_err(|source| self.sqlite(source))?;
        free.ok_or(StoreError::NoIdLeft)
    }

    fn insert(
        &mut self,
        draft: &Draft<'_>,
        now: Millis,
        id: impl FnOnce(&Transaction<'_>) -> Result<UserId, Refusal>,
    ) -> Result<Account, StoreError> {
        let add = |connection: &mut Connection| -> Result<Account, Refusal> {
            let key = draft.nickname.to_lowercase();
            // Immediate: what is free now is free when it is written.
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if change.query_row("SELECT 1 FROM accounts WHERE name_key = ?1", [&key], |_| Ok(())).optional()?.is_some()
            {
                return Err(StoreError::NicknameTaken(draft.nickname.to_owned()).into());
            }
            let user = id(&change)?;
            let id = to_sql(user.get());
            if change.query_row("SELECT 1 FROM accounts WHERE user = ?1", [id], |_| Ok(())).optional()?.is_some() {
                return Err(StoreError::IdTaken(user).into());
            }
            change.execute(
                "INSERT INTO accounts (user, nickname, name_key, password, admin, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, draft.nickname, key, draft.password, draft.standing == Standing::Admin, to_sql(now.0)],
            )?;
            let sql = format!("{ACCOUNT} WHERE user = ?1");
            let kept = change.query_row(&sql, [id], |row| Ok(kept(row)))??;
            change.commit()?;
            Ok(kept.account)
        };
        add(&mut self.connection).map_err(|error| match error {
            Refusal::Sqlite(source) => self.sqlite(source),
            Refusal::Plain(error) => error,
        })
    }

    /// Who has this id, if anybody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.find(user)?.map(|kept| kept.account))
    }

    /// Who has this nickname, if anybody. Capital letters are as small ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn account_named(&self, nickname: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.find_named(nickname)?.map(|kept| kept.account))
    }

    /// Everybody, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let all = self.query("ORDER BY user", &[]).map_err(|source| self.sqlite(source))?;
        Ok(all.into_iter().map(|kept| kept.account).collect())
    }

    pub(super) fn find(&self, user: UserId) -> Result<Option<Kept>, StoreError> {
        let found = self.query("WHERE user = ?1", &[&to_sql(user.get())]).map_err(|source| self.sqlite(source))?;
        Ok(found.into_iter().next())
    }

    pub(super) fn find_named(&self, nickname: &str) -> Result<Option<Kept>, StoreError> {
        let found = self.query("WHERE name_key = ?1", &[&nickname.to_lowercase()]);
        Ok(found.map_err(|source| self.sqlite(source))?.into_iter().next())
    }

    /// The accounts made after the one with the number `serial`, and the number of the last.
    pub(super) fn made_after(&self, serial: i64) -> Result<(Vec<NewAccount>, i64), StoreError> {
        let found =
            self.query("WHERE serial > ?1 ORDER BY serial", &[&serial]).map_err(|source| self.sqlite(source))?;
        let last = found.last().map_or(serial, |kept| kept.serial);
        let new = |kept: Kept| NewAccount { user: kept.account.user, nickname: kept.account.nickname };
        Ok((found.into_iter().map(new).collect(), last))
    }

    fn query(&self, rest: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<Kept>> {
        let mut statement = self.connection.prepare_cached(&format!("{ACCOUNT} {rest}"))?;
        let rows = statement.query_map(values, |row| Ok(kept(row)))?;
        rows.map(|row| row.and_then(|kept| kept)).collect()
    }

    /// Keeps another password (`None`: nobody logs in), and ends the tokens made before `now`. What is kept of that, and to
    /// be told; `None`: there is no such account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_password(
        &mut self,
        user: UserId,
        password: Option<&str>,
        now: Millis,
    ) -> Result<Option<Denial>, StoreError> {
        let surely = passed::left(&self.folder);
        let set = |connection: &mut Connection| -> rusqlite::Result<Option<Denial>> {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id = to_sql(user.get());
            let found = change.execute("UPDATE accounts SET password = ?2 WHERE user = ?1", params![id, password])? > 0;
            let ends = Denial::IssuedBefore { user, time: now };
            let kept = if found { Some(write(&change, ends, surely)?) } else { None };
            change.commit()?;
            Ok(kept)
        };
        set(&mut self.connection).map_err(|source| self.sqlite(source))
    }

    /// Keeps no account of this user any more, and nothing of what it was; whatever they show is not believed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn erase(&mut self, user: UserId, now: Millis) -> Result<(), StoreError> {
        let surely = passed::left(&self.folder);
        let erase = |connection: &mut Connection| -> rusqlite::Result<()> {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write(&change, Denial::User(user), surely)?;
            write(&change, Denial::IssuedBefore { user, time: now }, surely)?;
            change.execute("DELETE FROM accounts WHERE user = ?1", [to_sql(user.get())])?;
            change.commit()?;
            // What older versions left behind goes as well.
            connection.execute_batch("VACUUM")?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        };
        erase(&mut self.connection).map_err(|source| self.sqlite(source))
    }

    /// Keeps that this is not believed, or is again. What is returned is what is kept, and to be told: a token is
    /// remembered for a little longer than it lives, since who reads it may be lenient by some seconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn deny(&mut self, denial: Denial) -> Result<Denial, StoreError> {
        let denial = match denial {
            Denial::Token { token, until } => {
                Denial::Token { token, until: Millis(until.0.saturating_add(LENIENCE_MS)) }
            }
            denial => denial,
        };
        write(&self.connection, denial, passed::left(&self.folder)).map_err(|source| self.sqlite(source))
    }

    /// What is not believed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn denials(&self) -> Result<Denials, StoreError> {
        let read = || -> rusqlite::Result<Denials> {
            let mut all = Denials::default();
            let mut tokens = self.connection.prepare_cached("SELECT token, until FROM denied")?;
            for row in tokens.query_map((), |row| Ok((row.get(0)?, millis(row, 1)?)))? {
                let (token, until) = row?;
                all.add(Denial::Token { token: TokenId(token), until });
            }
            let mut users = self.connection.prepare_cached("SELECT user, disabled, tokens_since FROM standing")?;
            for row in users.query_map((), |row| Ok((id(row, 0)?, row.get(1)?, millis(row, 2)?)))? {
                let (user, disabled, time) = row?;
                if disabled {
                    all.add(Denial::User(user));
                }
                if time > Millis(0) {
                    all.add(Denial::IssuedBefore { user, time });
                }
            }
            Ok(all)
        };
        read().map_err(|source| self.sqlite(source))
    }

    /// Forgets the tokens that have run out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&mut self, now: Millis) -> Result<(), StoreError> {
        let pruned = self.connection.execute("DELETE FROM denied WHERE until <= ?1", [to_sql(now.0)]);
        pruned.map(|_| ()).map_err(|source| self.sqlite(source))
    }

    /// A number that changes when somebody else has changed the file.
    pub(super) fn version(&self) -> Result<i64, StoreError> {
        let version = self.connection.query_row("PRAGMA data_version", (), |row| row.get(0));
        version.map_err(|source| self.sqlite(source))
    }
}

/// What is kept of it. An earlier time takes nothing back, but what a clock has said that was ahead: up to what has `surely`
/// come, for a clock that is behind must not bring back what was ended.
fn write(connection: &Connection, denial: Denial, surely: Option<Millis>) -> rusqlite::Result<Denial> {
    let standing = |user: UserId, disabled: Option<bool>, since: Option<Millis>| {
        connection.query_row(
            "INSERT INTO standing VALUES (?1, coalesce(?2, 0), coalesce(?3, 0)) ON CONFLICT (user) DO UPDATE SET
             disabled = coalesce(?2, disabled), tokens_since = coalesce(max(?3, min(tokens_since, ?4)), tokens_since)
             RETURNING tokens_since",
            params![
                to_sql(user.get()),
                disabled,
                since.map(|since| to_sql(since.0)),
                to_sql(surely.map_or(u64::MAX, |time| time.0))
            ],
            |row| millis(row, 0),
        )
    };
    match denial {
        Denial::Token { token, until } => {
            let sql = "INSERT INTO denied VALUES (?1, ?2) ON CONFLICT (token) DO UPDATE SET until = max(until, ?2)";
            connection.execute(sql, params![token.0, to_sql(until.0)])?;
        }
        Denial::IssuedBefore { user, time } => {
            let time = standing(user, None, Some(time))?;
            return Ok(Denial::IssuedBefore { user, time });
        }
        Denial::User(user) => drop(standing(user, Some(true), None)?),
        Denial::Lifted(user) => drop(standing(user, Some(false), None)?),
    }
    Ok(denial)
}

/// Whether somebody has or had this id: has an account, is not believed, was erased.
fn is_named(connection: &Connection, id: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM accounts WHERE user = ?1 UNION ALL SELECT 1 FROM standing WHERE user = ?1";
    connection.prepare_cached(sql)?.exists([to_sql(id)])
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let standing = if row.get(2)? { Standing::Admin } else { Standing::User };
    let account = Account {
        user: id(row, 0)?,
        nickname: row.get(1)?,
        standing,
        disabled: row.get(3)?,
        created_at: millis(row, 4)?,
    };
    Ok(Kept { account, password: row.get(5)?, serial: row.get(6)? })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    let number: i64 = row.get(column)?;
    let id = u64::try_from(number).ok().and_then(|number| UserId::parse(number).ok());
    id.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn millis(row: &Row<'_>, column: usize) -> rusqlite::Result<Millis> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Millis).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Either kind of failure inside one transaction.
enum Refusal {
    Sqlite(rusqlite::Error),
    Plain(StoreError),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Plain(error)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
