//! Text in pieces that can be sent: as it is, or compressed so that any other text can follow.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

use super::format::Coding;

/// Size in bytes of the pieces of text. They keep a large page from being one block that grows by copying itself, and a shorter
/// text is not worth to be compressed by itself.
pub(super) const BLOCK: usize = 64 * 1024;

/// Makes [`Encoded`] texts, one after the other. The state of the compressor, some 300 KB, is used for all of them.
pub(super) enum Encoder {
    Plain(Vec<Bytes>),
    Gzip(Box<Deflate>),
}

pub(super) struct Deflate {
    /// Writes raw deflate blocks; [`join`] adds the gzip header and trailer.
    compress: Compress,
    crc: Crc,
    out: Vec<u8>,
    pieces: Vec<Bytes>,
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Encoder::Plain(Vec::new()),
            Coding::Gzip => Encoder::Gzip(Box::new(Deflate {
                compress: Compress::new(Compression::fast(), false),
                crc: Crc::new(),
                out: Vec::with_capacity(BLOCK),
                pieces: Vec::new(),
            })),
        }
    }

    /// Takes `text`, which is empty afterwards.
    pub(super) fn take(&mut self, text: &mut Vec<u8>) {
        match self {
            Encoder::Plain(pieces) if text.len() >= BLOCK => {
                pieces.push(Bytes::from(std::mem::replace(text, Vec::with_capacity(text.capacity()))));
            }
            Encoder::Plain(pieces) => {
                // A piece of its own size: the text has room for a whole one.
                pieces.push(Bytes::copy_from_slice(text));
                text.clear();
            }
            Encoder::Gzip(deflate) => {
                deflate.crc.update(text);
                deflate.push(text, FlushCompress::None);
                text.clear();
            }
        }
    }

    /// What it has taken since the last end. Compressed, it ends at a byte boundary, in a block that is not the last.
    pub(super) fn end(&mut self) -> Encoded {
        match self {
            Encoder::Plain(pieces) => Encoded { pieces: std::mem::take(pieces), crc: None },
            Encoder::Gzip(deflate) => {
                if deflate.crc.amount() > 0 {
                    deflate.push(&[], FlushCompress::Sync);
                    deflate.hand_over();
                    deflate.compress.reset();
                }
                let crc = std::mem::replace(&mut deflate.crc, Crc::new());
                Encoded { pieces: std::mem::take(&mut deflate.pieces), crc: Some(crc) }
            }
        }
    }
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
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        self.pieces.push(Bytes::copy_from_slice(&self.out));
        self.out.clear();
    }
}

/// Text in pieces, in the coding of its page. [`join`] makes an answer of several.
#[derive(Debug)]
pub struct Encoded {
    pieces: Vec<Bytes>,
    /// Checksum of the text before compression; absent: the text is not compressed.
    crc: Option<Crc>,
}

impl Encoded {
    /// Nothing yet, in this coding.
    pub(super) fn empty(coding: Coding) -> Self {
        Encoded { pieces: Vec::new(), crc: (coding == Coding::Gzip).then(Crc::new) }
    }

    /// Bytes, after compression.
    pub fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Appends what follows.
    pub(super) fn push(&mut self, next: &Encoded) {
        self.pieces.extend(next.pieces.iter().filter(|piece| !piece.is_empty()).cloned());
        if let (Some(crc), Some(next)) = (&mut self.crc, &next.crc) {
            crc.combine(next);
        }
    }

    /// Copies neighbours that are small into larger pieces: each piece costs something whenever it is sent.
    pub(super) fn gather(&mut self) {
        let mut gathered: Vec<Bytes> = Vec::new();
        for few in self.pieces.chunk_by({
            let mut size = 0;
            move |piece, next| {
                size += piece.len();
                let joins = size + next.len() <= BLOCK;
                if !joins {
                    size = 0;
                }
                joins
            }
        }) {
            match few {
                [one] => gathered.push(one.clone()),
                few => gathered.push(Bytes::from(few.concat())),
            }
        }
        self.pieces = gathered;
    }
}

/// A whole answer of these texts: plain, or one gzip member (RFC 1952).
pub fn join(texts: &[&Encoded]) -> Vec<Bytes> {
    // Deflate, no name, no time, fastest level, unknown system.
    const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
    // A last block, without text.
    const END: [u8; 2] = [3, 0];

    let mut pieces = Vec::with_capacity(texts.iter().map(|text| text.pieces.len()).sum::<usize>() + 2);
    let mut crc = None;
    for text in texts {
        if let Some(next) = &text.crc {
            if crc.is_none() {
                pieces.push(Bytes::from_static(HEADER));
            }
            crc.get_or_insert_with(Crc::new).combine(next);
        }
        pieces.extend(text.pieces.iter().filter(|piece| !piece.is_empty()).cloned());
    }
    if let Some(crc) = crc {
        let trailer = [&END[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat();
        pieces.push(Bytes::from(trailer));
    }
    pieces
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

    fn encoded(encoder: &mut Encoder, text: &[u8]) -> Encoded {
        for piece in text.chunks(BLOCK) {
            encoder.take(&mut piece.to_vec());
        }
        encoder.end()
    }

    fn unpacked(pieces: &[Bytes]) -> Vec<u8> {
        let packed = pieces.concat();
        let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
        let mut unpacked = Vec::new();
        decoder.read_to_end(&mut unpacked).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes after the member");
        unpacked
    }

    const SIZES: [(usize, usize); 5] = [(0, 0), (0, 10), (10, 0), (3_000_000, 1000), (65_536, 2_000_000)];

    #[test]
    fn texts_become_one_gzip_member_in_any_order() {
        let mut encoder = Encoder::new(Coding::Gzip);
        for (first, second) in SIZES {
            let texts = [sample(first), sample(second)];
            let [first, second] = texts.each_ref().map(|text| encoded(&mut encoder, text));
            let [a, b] = texts.each_ref().map(Vec::as_slice);
            assert!(unpacked(&join(&[&first, &second])) == [a, b].concat());
            assert!(unpacked(&join(&[&second, &first, &first])) == [b, a, a].concat());
            let mut together = Encoded::empty(Coding::Gzip);
            for text in [&first, &second, &Encoded::empty(Coding::Gzip), &first] {
                together.push(text);
            }
            together.gather();
            assert!(unpacked(&join(&[&together, &second])) == [a, b, a, b].concat());
        }
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        let mut encoder = Encoder::new(Coding::Identity);
        for (first, second) in SIZES {
            let texts = [sample(first), sample(second)];
            let [first, second] = texts.each_ref().map(|text| encoded(&mut encoder, text));
            assert_eq!(first.size(), texts[0].len());
            assert!(join(&[&first, &second]).concat() == texts.concat());
        }
    }

    #[test]
    fn small_pieces_are_gathered() {
        let sizes = [10, 20, BLOCK, 5, BLOCK - 5, 1, 2 * BLOCK, 7];
        let pieces: Vec<_> = sizes.iter().map(|size| Bytes::from(sample(*size))).collect();
        let whole = pieces.concat();
        let mut text = Encoded { pieces, crc: None };
        text.gather();
        let sizes: Vec<_> = text.pieces.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [30, BLOCK, BLOCK, 1, 2 * BLOCK, 7]);
        assert!(text.pieces.concat() == whole);
    }
}
