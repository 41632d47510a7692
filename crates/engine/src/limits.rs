//! How large may things be? One struct, one table.

use std::time::Duration;

/// Limits of an engine. Each refusal names the limit and happens before anything is written.
///
/// | limit | default |
/// |---|---|
/// | key | 1 to 1,024 bytes, no NUL |
/// | scope | 512 bytes, no NUL |
/// | schema and step names | 256 bytes, no NUL |
/// | input and output | 8 MB each |
/// | inputs and outputs read back before they count | up to 64 kB |
/// | stored failure message | 4 kB |
/// | lost owners without a new checkpoint | 10 |
/// | memory for successes that are replayed without asking the store | 16 MB |
/// | rows of one list page | 500 |
/// | combinations of the former names of a schema's steps | 64 |
/// | shortest retention | 1 minute |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an encoded input or output.
    pub payload_bytes: usize,
    /// Inputs and outputs up to this many bytes are decoded again before they count.
    pub check_bytes: usize,
    /// Bytes of a stored failure message.
    pub message_bytes: usize,
    /// After so many lost owners without a new checkpoint an execution is parked.
    pub lost_owners: u32,
    /// Bytes of memory for successes that are replayed without asking the store; 0 to ask each time.
    pub outcome_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 8 * 1024 * 1024,
            check_bytes: 64 * 1024,
            message_bytes: 4 * 1024,
            lost_owners: 10,
            outcome_cache_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Longest key, in bytes.
pub const KEY_BYTES: usize = 1024;
/// Longest scope, in bytes.
pub const SCOPE_BYTES: usize = 512;
/// Longest name of a schema or step, in bytes.
pub const NAME_BYTES: usize = 256;
/// Most rows of one list page.
pub const LIST_ROWS: u32 = 500;
/// Shortest retention: well above every statement time-out, so that a begin that was delayed can
/// not bring back a key that has been purged.
pub const SHORTEST_RETENTION: Duration = Duration::from_secs(60);
/// Retention of a finished key unless the schema says otherwise: seven days.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
