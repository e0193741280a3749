//! Stands between the store and the system calls that change files: counts them, makes one of them
//! fail, or writes them down. The test program's own symbols come before those of the C library, for
//! LMDB as for the standard library; the calls themselves are made through rustix, which asks the
//! kernel directly.
#![allow(
    dead_code,
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "the C side of system calls"
)]

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What happened to the files of the watched folder, in order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Wrote {
        file: String,
        at: usize,
        bytes: Vec<u8>,
        /// The call returned with the bytes on the disk (O_DSYNC).
        durable: bool,
    },
    Length {
        file: String,
        bytes: usize,
    },
    Synced {
        file: String,
    },
    /// The test was told that so many writes are durable.
    Acknowledged(u64),
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    /// All later calls fail too.
    pub(crate) lasting: bool,
}

#[derive(Default)]
pub(crate) struct Disk {
    folder: Option<PathBuf>,
    calls: u64,
    planned: Option<(u64, Failure)>,
    events: Option<Vec<Event>>,
}

static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calls on files below `folder` are counted from now on; the n-th fails as planned.
pub(crate) fn watch(folder: &Path, planned: Option<(u64, Failure)>) {
    *disk() = Some(Disk {
        folder: Some(folder.to_owned()),
        planned,
        ..Disk::default()
    });
}

/// The calls on files below `folder` are written down from now on.
pub(crate) fn record(folder: &Path) {
    *disk() = Some(Disk {
        folder: Some(folder.to_owned()),
        events: Some(Vec::new()),
        ..Disk::default()
    });
}

pub(crate) fn acknowledged(count: u64) {
    note(Event::Acknowledged(count));
}

/// Ends watching: how many calls there were, and what was written down.
pub(crate) fn end() -> (u64, Vec<Event>) {
    let disk = disk().take().unwrap_or_default();
    (disk.calls, disk.events.unwrap_or_default())
}

fn note(event: Event) {
    if let Some(events) = disk().as_mut().and_then(|disk| disk.events.as_mut()) {
        events.push(event);
    }
}

/// Counts a call on a file; its name below the folder when it is watched, the error when it fails.
fn pass(path: &Path) -> Result<Option<String>, Errno> {
    let mut disk = disk();
    let Some(disk) = disk.as_mut() else {
        return Ok(None);
    };
    let below = disk.folder.as_ref().and_then(|f| path.strip_prefix(f).ok());
    let Some(below) = below else { return Ok(None) };
    disk.calls += 1;
    if let Some((at, failure)) = disk.planned
        && (disk.calls == at || failure.lasting && disk.calls > at)
    {
        return Err(failure.errno);
    }
    Ok(Some(below.to_string_lossy().into_owned()))
}

fn pass_fd(fd: c_int) -> Result<Option<String>, Errno> {
    if disk().is_none() || fd < 0 {
        return Ok(None);
    }
    let link = rustix::fs::readlink(format!("/proc/self/fd/{fd}"), Vec::new());
    let path = link.map(|link| PathBuf::from(link.to_string_lossy().into_owned()));
    path.map_or(Ok(None), |path| pass(&path))
}

fn borrowed<'a>(fd: c_int) -> BorrowedFd<'a> {
    // SAFETY: the caller of the C function vouches for its descriptor.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn mmap64(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
}

/// The answer in the manner of C.
fn answered(answer: Result<usize, Errno>) -> isize {
    match answer {
        Ok(count) => isize::try_from(count).unwrap(),
        Err(errno) => {
            // SAFETY: the C library's own place for it.
            unsafe { *__errno_location() = errno.raw_os_error() };
            -1
        }
    }
}

fn as_int(answer: Result<(), Errno>) -> c_int {
    c_int::try_from(answered(answer.map(|()| 0))).unwrap()
}

fn wrote(fd: c_int, bytes: &[u8], at: i64) -> Result<usize, Errno> {
    let at = u64::try_from(at).map_err(|_negative| Errno::INVAL)?;
    let file = match pass_fd(fd) {
        Ok(file) => file,
        Err(errno) => {
            // As a disk that fills up: half of it is there.
            rustix::io::pwrite(borrowed(fd), &bytes[..bytes.len() / 2], at).unwrap_or_default();
            return Err(errno);
        }
    };
    let count = rustix::io::pwrite(borrowed(fd), bytes, at)?;
    if let Some(file) = file {
        let flags = rustix::fs::fcntl_getfl(borrowed(fd)).unwrap_or(OFlags::empty());
        note(Event::Wrote {
            file,
            at: usize::try_from(at).unwrap(),
            bytes: bytes[..count].to_vec(),
            durable: flags.contains(OFlags::DSYNC),
        });
    }
    Ok(count)
}

/// SAFETY of all functions below: their callers keep the rules of the C functions.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, from: *const u8, count: usize, at: i64) -> isize {
    let bytes = unsafe { std::slice::from_raw_parts(from, count) };
    answered(wrote(fd, bytes, at))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, from: *const u8, count: usize, at: i64) -> isize {
    unsafe { pwrite(fd, from, count, at) }
}

#[repr(C)]
struct Piece {
    from: *const u8,
    count: usize,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(fd: c_int, pieces: *const Piece, count: c_int, at: i64) -> isize {
    let pieces = unsafe { std::slice::from_raw_parts(pieces, usize::try_from(count).unwrap()) };
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.from, piece.count) });
    }
    answered(wrote(fd, &bytes, at))
}

/// LMDB seeks, then writes neighbouring pages in one call.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, pieces: *const Piece, count: c_int) -> isize {
    use rustix::fs::{SeekFrom, seek};
    let pieces = unsafe { std::slice::from_raw_parts(pieces, usize::try_from(count).unwrap()) };
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.from, piece.count) });
    }
    let Ok(at) = seek(borrowed(fd), SeekFrom::Current(0)) else {
        // A pipe or a terminal.
        return answered(rustix::io::write(borrowed(fd), &bytes));
    };
    let count = wrote(fd, &bytes, i64::try_from(at).unwrap());
    if let Ok(count) = count {
        let end = at + u64::try_from(count).unwrap();
        seek(borrowed(fd), SeekFrom::Start(end)).unwrap();
    }
    answered(count)
}

fn synced(fd: c_int, sync: fn(BorrowedFd<'_>) -> Result<(), Errno>) -> c_int {
    as_int(pass_fd(fd).and_then(|file| {
        sync(borrowed(fd))?;
        if let Some(file) = file {
            note(Event::Synced { file });
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    synced(fd, |fd| rustix::fs::fdatasync(fd))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    synced(fd, |fd| rustix::fs::fsync(fd))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, length: i64) -> c_int {
    as_int(pass_fd(fd).and_then(|file| {
        rustix::fs::ftruncate(borrowed(fd), u64::try_from(length).unwrap())?;
        if let Some(file) = file {
            let bytes = usize::try_from(length).unwrap();
            note(Event::Length { file, bytes });
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, length: i64) -> c_int {
    unsafe { ftruncate(fd, length) }
}

fn path_of(path: &CStr) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let (from, to) = unsafe { (CStr::from_ptr(from), CStr::from_ptr(to)) };
    as_int(pass(&path_of(to)).and_then(|_| rustix::fs::renameat(CWD, from, CWD, to)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: u32) -> c_int {
    let path = unsafe { CStr::from_ptr(path) };
    let made = |_| rustix::fs::mkdirat(CWD, path, Mode::from_bits_retain(mode));
    as_int(pass(&path_of(path)).and_then(made))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let path = unsafe { CStr::from_ptr(path) };
    as_int(pass(&path_of(path)).and_then(|_| rustix::fs::unlinkat(CWD, path, AtFlags::empty())))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: u32) -> c_int {
    let path = unsafe { CStr::from_ptr(path) };
    let opened = pass(&path_of(path)).and_then(|_| {
        let flags = OFlags::from_bits_retain(u32::try_from(flags).unwrap());
        rustix::fs::openat(CWD, path, flags, Mode::from_bits_retain(mode))
    });
    let fd = opened.map(|fd| std::os::fd::IntoRawFd::into_raw_fd(fd) as usize);
    c_int::try_from(answered(fd)).unwrap()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: u32) -> c_int {
    unsafe { open(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    at: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    if let Err(errno) = pass_fd(fd) {
        answered(Err(errno));
        return usize::MAX as *mut c_void;
    }
    unsafe { mmap64(at, length, protection, flags, fd, offset) }
}
