//! Files of capture segments: made, used again, given up.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_shared::wire::capture::SegmentHeader;
use sluice_shared::wire::journal::SEGMENT_HEADER_BYTES;

use super::row::{Segment, WARM_BYTES};
use crate::journal::directory::Directory;
use crate::journal::map::{Map, MapWriter, map_shared};

/// Bytes written at once into a new file.
const ZEROS_BYTES: usize = 1 << 20;

/// All files of this process that are mapped.
#[derive(Debug)]
pub(super) struct Files {
    directory: Arc<Directory>,
    /// By a number of their own.
    known: HashMap<u64, Known>,
    next: u64,
    /// Full ones, oldest first; they can be written again when nobody else has a name for them.
    full: Vec<Full>,
    zeros: Vec<u8>,
}

/// A file that is full.
#[derive(Debug)]
struct Full {
    file: u64,
    writer: MapWriter,
    since: Instant,
    /// Its pages are out of this process's memory.
    cold: bool,
}

#[derive(Debug)]
struct Known {
    file: File,
    map: Arc<Map>,
    /// Its hidden name; `None` on file systems where a file has one name only.
    hidden: Option<PathBuf>,
}

impl Files {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self {
            directory,
            known: HashMap::new(),
            next: 0,
            full: Vec::new(),
            zeros: Vec::new(),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn map(&self, file: u64) -> Option<&Map> {
        self.known.get(&file).map(|known| &*known.map)
    }

    /// Takes back a file that is full. It stays mapped as long as all that do are not more than `retained_bytes`. The
    /// oldest stay: the control plane reads, and so removes, in their order.
    pub(super) fn take_back(&mut self, segment: Segment, retained_bytes: u64) {
        let Segment { file, writer, .. } = segment;
        let held: u64 = self.full.iter().map(|full| full.writer.len() as u64).sum();
        let named = self.known.get(&file).is_some_and(|known| known.hidden.is_some());
        if named && held.saturating_add(writer.len() as u64) <= retained_bytes {
            self.full.push(Full {
                file,
                writer,
                since: Instant::now(),
                cold: false,
            });
        } else {
            drop(writer);
            self.give_up(file);
        }
    }

    /// Gives up all that wait to be used again.
    pub(super) fn give_up_full(&mut self) {
        for full in std::mem::take(&mut self.full) {
            drop(full.writer);
            self.give_up(full.file);
        }
    }

    /// Takes those out of memory that nobody has read for this long.
    pub(super) fn cool(&mut self, after: Duration) {
        for full in &mut self.full {
            if !full.cold
                && full.since.elapsed() >= after
                && let Some(known) = self.known.get(&full.file)
            {
                known.map.forget(0..known.map.len());
                full.cold = true;
            }
        }
    }

    /// Gives up everything, at the end of the process.
    pub(super) fn give_up_all(&mut self) {
        self.give_up_full();
        let all: Vec<u64> = self.known.keys().copied().collect();
        all.into_iter().for_each(|file| self.give_up(file));
    }

    fn give_up(&mut self, file: u64) {
        if let Some(Known {
            hidden: Some(hidden), ..
        }) = self.known.remove(&file)
        {
            // If this fails, the file goes with its directory.
            let _ = fs::remove_file(hidden);
        }
    }

    /// A file that was read to its end, under its next name.
    pub(super) fn again(
        &mut self,
        name: &str,
        header: &SegmentHeader,
        len: usize,
    ) -> io::Result<Option<Segment>> {
        let free = self.full.iter().position(|full| {
            let known = self.known.get(&full.file);
            let only_name = known.and_then(|known| known.file.metadata().ok());
            full.writer.len() == len && only_name.is_some_and(|meta| meta.nlink() == 1)
        });
        let Some(free) = free else {
            return Ok(None);
        };
        let mut full = self.full.remove(free);
        let Some(known) = self.known.get(&full.file) else {
            return Ok(None);
        };
        if full.cold {
            known.map.populate(0..SEGMENT_HEADER_BYTES + WARM_BYTES);
        }
        // Before it has a name: nobody reads frames of its last life.
        full.writer.publish_u32(SEGMENT_HEADER_BYTES, 0);
        full.writer.copy_in(0, &header.encode());
        let named = known.hidden.as_deref().map_or(Ok(()), |hidden| {
            fs::hard_link(hidden, self.directory.path().join(name))
        });
        if let Err(error) = named {
            self.full.insert(free, full);
            return Err(error);
        }
        Ok(Some(Segment {
            number: u32::try_from(header.number).unwrap_or(u32::MAX),
            file: full.file,
            writer: full.writer,
            hot: !full.cold,
        }))
    }

    /// A new file. Its blocks are taken and its pages made by plain writes, which make large ones.
    pub(super) fn make(&mut self, name: &str, header: &SegmentHeader, len: usize) -> io::Result<Segment> {
        let number = self.next;
        self.next += 1;
        let hidden = self.directory.path().join(format!(".cap-{number:08}"));
        let file = self.directory.draft(&hidden, len).and_then(|file| {
            self.fill(&file, len, &header.encode())?;
            Ok(file)
        });
        let mapped = file.and_then(|file| {
            let (writer, map) = map_shared(&file, len)?;
            Ok((file, writer, map))
        });
        let (file, writer, map) = mapped.inspect_err(|_| drop(fs::remove_file(&hidden)))?;
        map.populate(0..SEGMENT_HEADER_BYTES + WARM_BYTES);
        let target = self.directory.path().join(name);
        let hidden = match fs::hard_link(&hidden, &target) {
            Ok(()) => Some(hidden),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                fs::rename(&hidden, &target).inspect_err(|_| drop(fs::remove_file(&hidden)))?;
                None
            }
            Err(error) => {
                let _ = fs::remove_file(&hidden);
                return Err(error);
            }
        };
        self.known.insert(number, Known { file, map, hidden });
        Ok(Segment {
            number: u32::try_from(header.number).unwrap_or(u32::MAX),
            file: number,
            writer,
            hot: false,
        })
    }

    fn fill(&mut self, file: &File, len: usize, head: &[u8]) -> io::Result<()> {
        self.zeros.resize(ZEROS_BYTES, 0);
        let mut at = 0;
        while at < len {
            let piece = self.zeros.get(..ZEROS_BYTES.min(len - at)).unwrap_or_default();
            file.write_all_at(piece, at as u64)?;
            at += piece.len();
        }
        file.write_all_at(head, 0)
    }
}
