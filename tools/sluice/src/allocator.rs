//! The allocator: mimalloc, and on demand a hand that wipes what is given back.
//!
//! A key lives in strings, buffers and maps of many libraries, and all of them leave copies behind when they grow or
//! go. A process that asks for it by [`wipe_freed`] has every freed block overwritten, so that a key that was replaced
//! is gone from memory. The control plane and the supervisor do; the data plane, which frees millions of blocks a second,
//! overwrites the few places that hold keys by name instead, and pays one predictable branch here.

#![allow(unsafe_code, reason = "an allocator has no safe form")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use mimalloc::MiMalloc;

static WIPES: AtomicBool = AtomicBool::new(false);

/// From now on every freed block is overwritten.
pub(crate) fn wipe_freed() {
    WIPES.store(true, Ordering::Relaxed);
}

/// mimalloc behind one branch. Small blocks of a known thread dominate the data plane's use; mimalloc hands them out
/// without a lock.
#[derive(Debug)]
pub(crate) struct Allocator;

/// From this size on whole pages are given back to the system instead of being written.
const LARGE_BYTES: usize = 128 << 10;
const PAGE_BYTES: usize = 4_096;

/// Overwrites a block so that the compiler cannot leave it out as a write that nobody reads. Of a large one, of which often
/// only the beginning was ever used, the system takes the whole pages back: they read as zeros then and cost no memory.
///
/// # Safety
/// `block` must be valid for writes of `bytes` bytes, private to this process, and not be in use any more.
unsafe fn wipe(block: *mut u8, bytes: usize) {
    let first = block.addr().next_multiple_of(PAGE_BYTES) - block.addr();
    let pages = bytes.saturating_sub(first) / PAGE_BYTES * PAGE_BYTES;
    // SAFETY: as the caller promises; all offsets lie within the block, and the advice concerns whole pages within it. A
    // system with larger pages refuses it, and the block is written as a small one is.
    unsafe {
        let taken_back =
            bytes >= LARGE_BYTES && libc::madvise(block.add(first).cast(), pages, libc::MADV_DONTNEED) == 0;
        if taken_back {
            std::ptr::write_bytes(block, 0, first);
            std::ptr::write_bytes(block.add(first + pages), 0, bytes - first - pages);
        } else {
            std::ptr::write_bytes(block, 0, bytes);
        }
    }
    compiler_fence(Ordering::SeqCst);
}

// SAFETY: every block comes from mimalloc and goes back to it with the layout it came with; between the two nothing but
// its own bytes is written, and only when its owner has given it up.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's to give up, whole and with this layout.
        unsafe {
            if WIPES.load(Ordering::Relaxed) {
                wipe(block, layout.size());
            }
            MiMalloc.dealloc(block, layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !WIPES.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise is passed on.
            return unsafe { MiMalloc.realloc(block, layout, size) };
        }
        // SAFETY: `size` is not zero and does not overflow with this alignment, as the caller promises; the new block does
        // not overlap the old one, and the smaller of both sizes is valid in both.
        unsafe {
            let new = MiMalloc.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The switch is the process's: one test does everything.
    #[test]
    fn freed_and_moved_blocks_are_wiped_and_contents_survive_a_move() {
        wipe_freed();
        for (size, grown) in [
            (1, 2),
            (24, 1_000),
            (4_096, 70_000),
            (70_000, 24),
            (3 << 20, 5 << 20),
        ] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            // SAFETY: layouts are valid and not empty; each block is used within its size and freed once.
            unsafe {
                let block = Allocator.alloc(layout);
                std::ptr::write_bytes(block, 0xa5, size);
                let moved = Allocator.realloc(block, layout, grown);
                assert!(
                    std::slice::from_raw_parts(moved, size.min(grown))
                        .iter()
                        .all(|b| *b == 0xa5),
                    "{size} to {grown}"
                );
                wipe(moved, grown);
                assert!(std::slice::from_raw_parts(moved, grown).iter().all(|b| *b == 0));
                Allocator.dealloc(moved, Layout::from_size_align(grown, 16).unwrap());
                let zeroed = Allocator.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|b| *b == 0));
                Allocator.dealloc(zeroed, layout);
            }
        }
    }
}
