//! Why does a store not answer?

/// Why a store did not answer, sorted by what the engine does next.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was written: the store can not be reached or is busy. Try again after a pause.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The write may or may not have happened. Send the same write again.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// Nothing was written: the database server is not the start of it that granted the fence
    /// (restart, failover), so acknowledged writes may be missing. Acquire the execution anew.
    #[error("the database server was restarted")]
    Restarted,
    /// Nothing was written: the store can not hold this value. Trying again does not help.
    #[error("the store rejects the value: {0}")]
    Rejected(String),
    /// A row holds something this version does not know. Trying again does not help.
    #[error("a stored row can not be read: {0}")]
    Unreadable(String),
    /// The database can not be used at all: newer format, replica, wrong version. Stop.
    #[error("the store can not be used: {0}")]
    Refused(String),
}
