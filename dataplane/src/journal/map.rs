//! A file mapped shared: one writer, and a handle for syncing what was written.
//!
//! The writer is the only one who stores into the mapping from this process; the handle never reads or writes the
//! bytes, it only tells the kernel what to do with pages. Other processes map the same file for reading. The file
//! is allocated in full before it is mapped and nobody shortens it, so no access can fault.
#![allow(unsafe_code, reason = "memory mappings have no safe interface")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of a page; the smallest that any supported machine uses, which is safe where larger ones are used too,
/// because the ranges given to the kernel are widened to the real size by [`Map::pages`].
const PAGE_FALLBACK: usize = 4_096;

/// A mapping; unmapped when the last of writer and handles is gone.
#[derive(Debug)]
pub(super) struct Map {
    base: NonNull<u8>,
    len: usize,
    page: usize,
}

// SAFETY: the memory belongs to the mapping, not to a thread. `Map` itself gives no access to the bytes; stores go
// through the one `MapWriter`.
unsafe impl Send for Map {}
// SAFETY: as above; `msync` and `madvise` may be called from any thread.
unsafe impl Sync for Map {}

/// The only way to store into a mapping. Not `Clone`.
#[derive(Debug)]
pub(super) struct MapWriter {
    map: Arc<Map>,
}

/// Maps `len` bytes of an allocated file, `len` above 0.
pub(super) fn map_shared(file: &File, len: usize) -> io::Result<(MapWriter, Arc<Map>)> {
    // SAFETY: a new mapping at an address of the kernel's choosing touches no memory of ours.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: `sysconf` reads a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).unwrap_or(PAGE_FALLBACK);
    let map = Arc::new(Map { base, len, page });
    let writer = MapWriter {
        map: Arc::clone(&map),
    };
    Ok((writer, map))
}

impl Map {
    /// Bytes mapped.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Writes pages back to the disk and waits for it.
    pub(super) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let Some((at, len)) = self.pages(range) else {
            return Ok(());
        };
        // SAFETY: `pages` keeps the range inside the mapping.
        check(unsafe { libc::msync(at.cast(), len, libc::MS_SYNC) })
    }

    /// Makes pages writable ahead of the writer, so that it meets no fault. Best effort: older kernels cannot.
    pub(super) fn populate(&self, range: Range<usize>) {
        if let Some((at, len)) = self.pages(range) {
            // SAFETY: `pages` keeps the range inside the mapping; the advice changes no content.
            unsafe { libc::madvise(at.cast(), len, libc::MADV_POPULATE_WRITE) };
        }
    }

    /// Takes whole pages of the range out of this process's memory; their content stays in the file.
    pub(super) fn forget(&self, range: Range<usize>) {
        let inner = range.start.next_multiple_of(self.page)..range.end / self.page * self.page;
        if inner.start >= inner.end {
            return;
        }
        if let Some((at, len)) = self.pages(inner) {
            // SAFETY: inside the mapping; for a shared file mapping the content stays in the page cache.
            unsafe { libc::madvise(at.cast(), len, libc::MADV_DONTNEED) };
        }
    }

    /// The range widened to pages, cut to the mapping; `None` if nothing is left.
    fn pages(&self, range: Range<usize>) -> Option<(*mut u8, usize)> {
        let start = range.start / self.page * self.page;
        let end = range.end.min(self.len);
        if start >= end {
            return None;
        }
        // SAFETY: `start` is less than `len`, so the pointer stays inside the mapping.
        let at = unsafe { self.base.as_ptr().add(start) };
        Some((at, end - start))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length, and nobody holds it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl MapWriter {
    /// Bytes mapped.
    pub(super) fn len(&self) -> usize {
        self.map.len
    }

    /// Copies bytes in.
    pub(super) fn copy_in(&mut self, at: usize, bytes: &[u8]) {
        let at = self.check(at, bytes.len(), 1);
        // SAFETY: `check` has bounded the target; `&mut self` makes this the only access from this process, and a
        // slice of ours cannot overlap the mapping, which no safe reference ever points into.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    /// Stores a word after everything that was copied in before.
    pub(super) fn publish_u32(&self, at: usize, value: u32) {
        let at = self.check(at, 4, 4);
        // SAFETY: bounded and aligned by `check`; the mapping outlives `self`.
        let word = unsafe { AtomicU32::from_ptr(at.cast()) };
        word.store(value.to_le(), Ordering::Release);
    }

    /// Stores a word, in no order with anything else.
    pub(super) fn store_u64(&self, at: usize, value: u64) {
        let at = self.check(at, 8, 8);
        // SAFETY: bounded and aligned by `check`; the mapping outlives `self`.
        let word = unsafe { AtomicU64::from_ptr(at.cast()) };
        word.store(value.to_le(), Ordering::Relaxed);
    }

    fn check(&self, at: usize, len: usize, align: usize) -> *mut u8 {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.map.len);
        assert!(inside && at.is_multiple_of(align), "store outside of the mapping");
        // SAFETY: `at` is inside the mapping.
        unsafe { self.map.base.as_ptr().add(at) }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn stores_reach_the_file_whatever_happens_to_pages() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 << 10).unwrap();
        let (mut writer, map) = map_shared(&file, 16 << 10).unwrap();
        map.populate(0..usize::MAX);
        writer.copy_in(5_000, b"hello");
        writer.store_u64(8, 7);
        writer.publish_u32(0, 9);
        map.sync(4_999..5_006).unwrap();
        map.forget(0..16 << 10);
        drop(map);
        writer.copy_in((16 << 10) - 3, b"end");
        drop(writer);
        let mut bytes = vec![0; 16 << 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes[5_000..5_005], b"hello");
        assert_eq!((bytes[0], bytes[8]), (9, 7));
        assert!(bytes.ends_with(b"end"));
    }

    #[test]
    #[should_panic(expected = "store outside of the mapping")]
    fn nothing_is_stored_behind_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4_096).unwrap();
        let (mut writer, _map) = map_shared(&file, 4_096).unwrap();
        writer.copy_in(4_094, b"abc");
    }

    #[test]
    fn ranges_outside_do_nothing() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4_096).unwrap();
        let (_writer, map) = map_shared(&file, 4_096).unwrap();
        map.sync(4_096..9_000).unwrap();
        map.sync(10..10).unwrap();
        map.populate(8_192..9_000);
        map.forget(1..2);
        assert_eq!(map.len(), 4_096);
    }
}
