use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

use super::format::Coding;

/// Size in bytes of the pieces that text is handed over in. Pieces keep a large page from being one block that grows by
/// copying itself.
pub(super) const CHUNK: usize = 256 * 1024;

/// Collects text as it is, or compresses it piece by piece so that the whole text is never held.
pub(super) enum Sink {
    Plain(Vec<Bytes>),
    Deflate(Box<Deflate>),
}

impl Sink {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Sink::Plain(Vec::new()),
            Coding::Gzip => Sink::Deflate(Box::new(Deflate {
                compress: Compress::new(Compression::fast(), false),
                crc: Crc::new(),
                chunks: Vec::new(),
                out: Vec::with_capacity(CHUNK / 4),
            })),
        }
    }

    /// Takes `text`, which is empty afterwards.
    pub(super) fn take(&mut self, text: &mut Vec<u8>) {
        match self {
            Sink::Plain(chunks) => {
                if !text.is_empty() {
                    chunks.push(Bytes::from(std::mem::replace(text, Vec::with_capacity(text.capacity()))));
                }
            }
            Sink::Deflate(deflate) => {
                deflate.crc.update(text);
                deflate.push(text, FlushCompress::None);
                text.clear();
            }
        }
    }

    /// The text so far. More can follow from another sink: a compressed text ends at a byte boundary, in a block
    /// that is not the last.
    pub(super) fn pause(self) -> Encoded {
        self.end(FlushCompress::Sync)
    }

    /// The text to its end.
    pub(super) fn finish(self) -> Encoded {
        self.end(FlushCompress::Finish)
    }

    fn end(self, flush: FlushCompress) -> Encoded {
        match self {
            Sink::Plain(chunks) => Encoded { chunks, crc: None },
            Sink::Deflate(mut deflate) => {
                deflate.push(&[], flush);
                deflate.chunks.push(Bytes::from(deflate.out));
                Encoded { chunks: deflate.chunks, crc: Some(deflate.crc) }
            }
        }
    }
}

pub(super) struct Deflate {
    /// Writes raw deflate blocks; [`Encoded::join`] adds the gzip header and trailer.
    compress: Compress,
    crc: Crc,
    chunks: Vec<Bytes>,
    out: Vec<u8>,
}

impl Deflate {
    fn push(&mut self, mut text: &[u8], flush: FlushCompress) {
        loop {
            let before = self.compress.total_in();
            self.compress
                .compress_vec(text, &mut self.out, flush)
                .expect("deflate with room to write cannot fail");
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(text.len());
            text = text.get(taken..).unwrap_or_default();
            // Pending output fills the buffer; if there is room left, nothing is pending.
            if self.out.len() < self.out.capacity() {
                if text.is_empty() {
                    return;
                }
            } else {
                let full = std::mem::replace(&mut self.out, Vec::with_capacity(CHUNK / 4));
                self.chunks.push(Bytes::from(full));
            }
        }
    }
}

/// Text that has gone through a [`Sink`].
#[derive(Debug)]
pub(super) struct Encoded {
    chunks: Vec<Bytes>,
    /// Checksum of the text before compression; absent: the text is not compressed.
    crc: Option<Crc>,
}

impl Encoded {
    pub(super) fn size(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// Whether an answer that was joined from this is still in use.
    pub(super) fn is_shared(&self) -> bool {
        !self.chunks.iter().all(Bytes::is_unique)
    }

    /// A sink for the text that follows this one.
    pub(super) fn continuation(&self) -> Sink {
        Sink::new(if self.crc.is_some() { Coding::Gzip } else { Coding::Identity })
    }

    /// This text and the `rest` of it: plain, or one gzip member (RFC 1952).
    pub(super) fn join(&self, rest: Encoded) -> Vec<Bytes> {
        // Deflate, no name, no time, fastest level, unknown system.
        const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

        let mut pieces = Vec::with_capacity(self.chunks.len() + rest.chunks.len() + 2);
        if self.crc.is_some() {
            pieces.push(Bytes::from_static(HEADER));
        }
        pieces.extend_from_slice(&self.chunks);
        pieces.extend(rest.chunks);
        if let (Some(first), Some(second)) = (&self.crc, &rest.crc) {
            let mut crc = Crc::new();
            crc.combine(first);
            crc.combine(second);
            let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
            pieces.push(Bytes::from(trailer));
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Incompressible at first, which makes many compressed pieces, then very compressible.
    fn sample(len: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..len).map(|at| if at < len / 2 { random.u8(..) } else { b'a' }).collect()
    }

    fn through(mut sink: Sink, text: &[u8]) -> Sink {
        for piece in text.chunks(CHUNK) {
            sink.take(&mut piece.to_vec());
        }
        sink
    }

    #[test]
    fn two_texts_become_one_gzip_member() {
        for (first, second) in [(0, 0), (0, 10), (10, 0), (3_000_000, 1000), (65_536, 2_000_000)] {
            let (first, second) = (sample(first), sample(second));
            let head = through(Sink::new(Coding::Gzip), &first).pause();
            for _ in 0..2 {
                let tail = through(head.continuation(), &second).finish();
                let packed = head.join(tail).concat();
                let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
                let mut unpacked = Vec::new();
                decoder.read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == [first.clone(), second.clone()].concat());
                assert!(decoder.into_inner().is_empty(), "bytes after the member");
            }
        }
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        let (first, second) = (sample(1_000_000), sample(100));
        let head = through(Sink::new(Coding::Identity), &first).pause();
        let tail = through(head.continuation(), &second).finish();
        assert_eq!(head.size(), first.len());
        assert!(head.join(tail).concat() == [first, second].concat());
    }
}
