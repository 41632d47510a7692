//! placeholder
pub mod clock;
pub mod execution;
pub mod lane;
pub mod memory;
pub mod random;
pub mod store;
