//! The folder of a run, and with it its block of addresses: whoever has the lock in it has both. The lock goes with the process that has
//! it, however that ends; a folder without one was left behind, and is emptied by the next who comes by.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::getuid;

use super::addresses::BLOCKS;

/// A run's folder; gone when this is dropped.
pub struct Folder {
    path: PathBuf,
    block: u8,
    _lock: File,
}

/// Where the folders of all runs of this user are.
pub fn home() -> PathBuf {
    std::env::temp_dir().join(format!("clustersim-{}", getuid()))
}

impl Folder {
    /// The first block that nobody has.
    pub fn claim() -> io::Result<Folder> {
        for block in BLOCKS {
            if let Some(folder) = Folder::try_claim(&home(), block)? {
                return Ok(folder);
            }
        }
        Err(io::Error::other(format!("all {} blocks of addresses are taken by other runs", BLOCKS.len())))
    }
    /// Empties the folders of runs that are gone; the blocks of these.
    pub fn clean() -> io::Result<Vec<u8>> {
        let mut cleaned = Vec::new();
        for block in BLOCKS {
            if home().join(format!("run-{block}")).join("lock").exists() && Folder::try_claim(&home(), block)?.is_some() {
                cleaned.push(block);
            }
        }
        Ok(cleaned)
    }
    /// Whether nobody runs in this block.
    pub fn is_dead(block: u8) -> bool {
        BLOCKS.contains(&block) && Folder::try_claim(&home(), block).is_ok_and(|claimed| claimed.is_some())
    }
    fn try_claim(home: &Path, block: u8) -> io::Result<Option<Folder>> {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt};
        let path = home.join(format!("run-{block}"));
        // Others are not to look into it, and must not have made it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        if fs::symlink_metadata(home)?.uid() != getuid().as_raw() {
            return Err(io::Error::other(format!("{} is somebody else's", home.display())));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let name = path.join("lock");
        let lock = File::create(&name)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Somebody may have cleaned up between the two calls: then this is the lock of a file that is no more.
        let same = fs::metadata(&name).is_ok_and(|there| lock.metadata().is_ok_and(|here| there.ino() == here.ino()));
        if !same {
            return Ok(None);
        }
        let folder = Folder { path, block, _lock: lock };
        folder.empty()?;
        Ok(Some(folder))
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn block(&self) -> u8 {
        self.block
    }
    /// Removes all but the lock.
    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if path.file_name() != Some("lock".as_ref()) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_runs_until_that_is_gone_and_what_it_left_is_emptied() {
        let home = tempfile::tempdir().expect("a folder");
        let claim = || Folder::try_claim(home.path(), 64).expect("a folder can be made");
        let first = claim().expect("it is free");
        assert!(claim().is_none(), "two runs in one block");
        let path = first.path().to_owned();
        fs::write(path.join("left"), "over").expect("a file");
        // As if it had been killed: the lock goes, the folder stays.
        let Folder { _lock, .. } = &first;
        _lock.unlock().expect("it is ours");
        std::mem::forget(first);
        let next = claim().expect("it is free again");
        assert!(!next.path().join("left").exists());
        drop(next);
        assert!(!path.exists());
    }
}
