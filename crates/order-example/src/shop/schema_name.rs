//! Which names may be written into SQL text? A PostgreSQL schema can not be a bind parameter, so
//! its name is checked here, and this is the only door through which text gets into a statement.

use std::fmt;
use std::str::FromStr;

use sqlx::AssertSqlSafe;

/// The name of a PostgreSQL schema: small letters, digits and `_`, at most 63, no digit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// The statement with its `{schema}` replaced by this name.
    pub(crate) fn sql(&self, statement: &'static str) -> AssertSqlSafe<String> {
        AssertSqlSafe(statement.replace("{schema}", &self.0))
    }
}

impl FromStr for SchemaName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let fits = (1..=63).contains(&name.len())
            && name.bytes().next().is_some_and(letter)
            && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err("use 1 to 63 small letters, digits and _, and no digit first")
        }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_get_into_a_statement() {
        for bad in ["", "1a", "Shop", "a-b", "a\"b", "a;b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<SchemaName>().is_err(), "{bad}");
        }
        let name: SchemaName = "shop_2".parse().expect("a plain name");
        let AssertSqlSafe(sql) = name.sql("SELECT 1 FROM {schema}.stock");
        assert_eq!(sql, "SELECT 1 FROM shop_2.stock");
    }
}
