//! A disk of its own in a file, whose power can be cut: ext4 on a loop device, shut down by its own
//! ioctl, which drops everything that was not synced.
#![allow(unsafe_code)] // one ioctl, which reads four bytes that we own

use rustix::ioctl::{Setter, ioctl, opcode};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `EXT4_IOC_SHUTDOWN` of Linux, and its flag to drop what the journal holds in memory.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
const NO_LOG_FLUSH: u32 = 2;
const UNMOUNT_TRIES: u32 = 100;

/// Mounted while it lives.
pub struct Disk {
    device: String,
    pub mount: PathBuf,
}

impl Disk {
    /// A disk of so many MiB below a folder; the reason when this machine permits none.
    pub fn make(folder: &Path, size_mb: u64) -> Result<Disk, String> {
        let image = folder.join("disk.img");
        let file = File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(size_mb << 20).map_err(|e| e.to_string())?;
        let image = image.to_string_lossy().into_owned();
        run(&["mkfs.ext4", "-q", "-F", &image])?;
        let device = run(&["losetup", "-f", "--show", &image])?;
        let mount = folder.join("disk");
        std::fs::create_dir_all(&mount).map_err(|e| e.to_string())?;
        let disk = Disk { device, mount };
        run(&["mount", &disk.device, &disk.mount.to_string_lossy()])?;
        Ok(disk)
    }

    /// The power goes: from now on every call on it fails.
    pub fn cut(&self) {
        let folder = File::open(&self.mount).unwrap();
        // SAFETY: the kernel reads the four bytes of the flag and nothing else.
        unsafe { ioctl(&folder, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }.unwrap();
    }

    /// The power comes back, once nobody uses it any more.
    pub fn again(&self) {
        let mount = self.mount.to_string_lossy().into_owned();
        for left in (0..UNMOUNT_TRIES).rev() {
            match run(&["umount", &mount]) {
                Ok(_) => break,
                Err(_busy) if left > 0 => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => panic!("{error}"),
            }
        }
        run(&["mount", &self.device, &mount]).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(&["umount", "-l", &self.mount.to_string_lossy()]).ok();
        run(&["losetup", "-d", &self.device]).ok();
    }
}

/// What a command said, or why it failed.
fn run(words: &[&str]) -> Result<String, String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|e| format!("{}: {e}", words[0]))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{}: {why}", words[0]))
}
