//! A file system that can be filled.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A file system of its own that holds so much and no more, as the kernel counts: in memory. Needs root.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    pub fn of_kibibytes(size: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        assert!(mount.status().unwrap().success(), "a small disk cannot be mounted; tests run as root");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all of its room, and gives the file that has it.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = File::create(&path).unwrap();
        let error = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert!(fs::metadata(&path).unwrap().len() > 0);
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg(self.path()).status();
        assert!(
            gone.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "{} stays",
            self.path().display()
        );
    }
}
