//! Under which user does the server run? PostgreSQL refuses root, so root steps down; everybody
//! else stays who they are.

use std::fs;

use anyhow::{Result, bail};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
}

/// The user for the server; `None` to stay who we are.
///
/// # Errors
/// When we are root and there is nobody to step down to.
pub fn for_server() -> Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let caller = std::env::var("SUDO_USER").ok();
    match step_down(&users, caller.as_deref()) {
        Some(account) => Ok(Some(account)),
        None => bail!(
            "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor \
             `nobody`: run this command as an ordinary user"
        ),
    }
}

/// Whom root steps down to: PostgreSQL's own user, else who called `sudo`, else nobody.
fn step_down(users: &str, caller: Option<&str>) -> Option<Account> {
    [Some("postgres"), caller, Some("nobody")]
        .into_iter()
        .flatten()
        .filter_map(|name| users.lines().find_map(|line| entry(line, name)))
        .find(|account| account.uid != 0)
}

/// Reads `name:password:uid:gid:…` if it is about this name.
fn entry(line: &str, name: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next() != Some(name) {
        return None;
    }
    let mut numbers = fields.skip(1).map(|field| field.parse::<u32>().ok());
    Some(Account {
        name: String::from(name),
        uid: numbers.next()??,
        gid: numbers.next()??,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                         nobody:x:65534:65533:nobody:/:/bin/false\n\
                         ann:x:1000:1001::/home/ann:/bin/sh\n";

    fn chosen(users: &str, caller: Option<&str>) -> Option<(String, u32, u32)> {
        step_down(users, caller).map(|account| (account.name, account.uid, account.gid))
    }

    #[test]
    fn root_steps_down_to_postgres_then_its_caller_then_nobody() {
        let all = format!("{USERS}postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");
        assert_eq!(chosen(&all, Some("ann")), Some(("postgres".into(), 101, 104)));
        assert_eq!(chosen(USERS, Some("ann")), Some(("ann".into(), 1000, 1001)));
        assert_eq!(chosen(USERS, None), Some(("nobody".into(), 65534, 65533)));
        assert_eq!(
            chosen(USERS, Some("root")),
            Some(("nobody".into(), 65534, 65533)),
            "root who calls sudo is still root"
        );
        assert_eq!(chosen("", Some("ann")), None);
    }
}
