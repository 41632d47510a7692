//! What does it take to make 8 kB durable in the place where the database is?

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Result;

use crate::timing::Caller;

/// Writes the same page again and again, and waits until it is on the disk.
pub(crate) struct Fsync {
    file: Option<File>,
}

impl Fsync {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        file.write_all(&[0; 8192])?;
        file.sync_all()?;
        Ok(Self { file: Some(file) })
    }
}

impl Caller for Fsync {
    async fn call(&mut self) -> Result<()> {
        let mut file = self.file.take().expect("given back below");
        let written = tokio::task::spawn_blocking(move || -> Result<File> {
            for _page in 0..100 {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&[1; 8192])?;
                file.sync_data()?;
            }
            Ok(file)
        });
        self.file = Some(written.await??);
        Ok(())
    }
}
