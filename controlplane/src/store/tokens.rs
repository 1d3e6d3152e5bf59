//! Rows of gateway-issued tokens. They are few and are read once, at the start; every change is a transaction of its own.

use rusqlite::{Connection, Row, params};
use sluice_shared::snapshot::Role;
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Scope;

use super::StoreError;
use super::detail::int;

const COLUMNS: &str =
    "id,hash,name,login,tags,groups,models,role,created_by,created_at,expires_at,last_used_at,revoked_at";

/// A token as it is stored: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredToken {
    /// SHA-256 of the whole token.
    pub(crate) hash: [u8; 32],
    pub(crate) info: TokenInfo,
}

/// A token as people may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    /// Public name, eight characters, not derived from the secret.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Login; empty if there are tags.
    pub(crate) login: String,
    /// Sorted.
    pub(crate) tags: Vec<String>,
    /// `group:x`, sorted.
    pub(crate) groups: Vec<String>,
    /// What the token is limited to.
    pub(crate) scope: Scope,
    /// Login of whoever created it.
    pub(crate) created_by: String,
    pub(crate) created_at: UnixMicros,
    pub(crate) expires_at: UnixMicros,
    /// Coarse: written at most once a minute.
    pub(crate) last_used_at: Option<UnixMicros>,
    pub(crate) revoked_at: Option<UnixMicros>,
}

pub(super) fn all(connection: &Connection) -> Result<Vec<StoredToken>, StoreError> {
    let mut select = connection.prepare(&format!("SELECT {COLUMNS} FROM tokens ORDER BY created_at, id"))?;
    let mut rows = select.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<StoredToken, StoreError> {
    let time = |at: usize, name: &'static str| -> Result<Option<UnixMicros>, StoreError> {
        let value: Option<i64> = row.get(at)?;
        value
            .map(|value| u64::try_from(value).map(UnixMicros))
            .transpose()
            .map_err(|_| StoreError::Column(name))
    };
    let list = |at: usize, name: &'static str| -> Result<Option<Vec<String>>, StoreError> {
        let text: Option<String> = row.get(at)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| StoreError::Column(name))
    };
    let must = |name: &'static str| move || StoreError::Column(name);
    let role: Option<String> = row.get(7)?;
    let info = TokenInfo {
        id: row.get(0)?,
        name: row.get(2)?,
        login: row.get(3)?,
        tags: list(4, "tags")?.ok_or_else(must("tags"))?,
        groups: list(5, "groups")?.ok_or_else(must("groups"))?,
        scope: Scope {
            models: list(6, "models")?,
            role: match role.as_deref() {
                None => None,
                Some("user") => Some(Role::User),
                Some("admin") => Some(Role::Admin),
                Some(_) => return Err(StoreError::Column("role")),
            },
        },
        created_by: row.get(8)?,
        created_at: time(9, "created_at")?.ok_or_else(must("created_at"))?,
        expires_at: time(10, "expires_at")?.ok_or_else(must("expires_at"))?,
        last_used_at: time(11, "last_used_at")?,
        revoked_at: time(12, "revoked_at")?,
    };
    Ok(StoredToken {
        hash: row.get(1)?,
        info,
    })
}

pub(super) fn add(connection: &Connection, token: &StoredToken) -> Result<(), StoreError> {
    let StoredToken { hash, info: token } = token;
    let json = |list: &[String]| serde_json::json!(list).to_string();
    let role = token.scope.role.map(|role| match role {
        Role::User => "user",
        Role::Admin => "admin",
    });
    connection.execute(
        &format!("INSERT INTO tokens ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        params![
            token.id,
            hash.as_slice(),
            token.name,
            token.login,
            json(&token.tags),
            json(&token.groups),
            token.scope.models.as_deref().map(json),
            role,
            token.created_by,
            int(token.created_at.0),
            int(token.expires_at.0),
            token.last_used_at.map(|time| int(time.0)),
            token.revoked_at.map(|time| int(time.0)),
        ],
    )?;
    Ok(())
}

pub(super) fn revoke(connection: &Connection, id: &str, at: UnixMicros) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
        params![int(at.0), id],
    )?;
    Ok(())
}

pub(super) fn used(connection: &mut Connection, uses: &[(String, UnixMicros)]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for (id, at) in uses {
        transaction
            .prepare_cached("UPDATE tokens SET last_used_at = ? WHERE id = ?")?
            .execute(params![int(at.0), id])?;
    }
    transaction.commit()?;
    Ok(())
}

pub(super) fn prune(connection: &Connection, before: UnixMicros) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1",
        [int(before.0)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FILE, Sqlite, Store as _};

    fn token(id: &str) -> StoredToken {
        StoredToken {
            hash: [7; 32],
            info: TokenInfo {
                id: id.into(),
                name: "ci \"ü\"".into(),
                login: String::new(),
                tags: vec!["tag:a".into(), "tag:'b".into()],
                groups: vec!["group:x".into()],
                scope: Scope {
                    models: Some(vec!["p/**".into()]),
                    role: Some(Role::User),
                },
                created_by: "root".into(),
                created_at: UnixMicros(1),
                expires_at: UnixMicros(u64::MAX >> 1),
                last_used_at: None,
                revoked_at: None,
            },
        }
    }

    #[tokio::test]
    async fn rows_read_back_in_a_store_of_the_version_before() {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join(FILE)).unwrap();
        old.execute_batch(include_str!("schema/0001.sql")).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        let store = Sqlite::open(folder.path()).await.unwrap();
        assert_eq!(store.tokens().await.unwrap(), []);
        let mut first = token("first");
        store.add_token(&first).await.unwrap();
        // Neither an id nor a hash stands twice.
        assert!(store.add_token(&first).await.is_err());
        assert!(store.add_token(&token("second")).await.is_err());
        assert_eq!(store.tokens().await.unwrap(), [first.clone()]);
        store.revoke_token("first", UnixMicros(5)).await.unwrap();
        store.revoke_token("first", UnixMicros(6)).await.unwrap();
        store.revoke_token("nobody", UnixMicros(6)).await.unwrap();
        store
            .tokens_used(&[("first".into(), UnixMicros(4)), ("nobody".into(), UnixMicros(4))])
            .await
            .unwrap();
        first.info.revoked_at = Some(UnixMicros(5));
        first.info.last_used_at = Some(UnixMicros(4));
        assert_eq!(store.tokens().await.unwrap(), [first]);
    }

    #[tokio::test]
    async fn rows_that_something_else_changed_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        store.add_token(&token("first")).await.unwrap();
        drop(store);
        for change in [
            "role = 'root'",
            "models = '['",
            "tags = '{}'",
            "groups = '[1]'",
            "expires_at = -1",
            "revoked_at = -1",
            "hash = x'00'",
        ] {
            let other = Connection::open(folder.path().join(FILE)).unwrap();
            other.execute_batch("SAVEPOINT before").unwrap();
            other.execute(&format!("UPDATE tokens SET {change}"), []).unwrap();
            assert!(all(&other).is_err(), "{change}");
            other.execute_batch("ROLLBACK TO before").unwrap();
            assert_eq!(all(&other).unwrap(), [token("first")]);
        }
    }
}
