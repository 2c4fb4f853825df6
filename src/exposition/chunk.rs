//! What one target has of one family.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{
    encoded::{Encoded, Encoder},
    family::Family,
};

/// The series of a family at one target, without its head.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) body: Body,
    /// Bytes of text.
    pub(super) length: usize,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Text that is encoded together with its neighbours.
    Small(Bytes),
    Large(Encoded),
}

impl Chunk {
    pub(super) fn small(text: Vec<u8>) -> Self {
        Chunk { length: text.len(), body: Body::Small(Bytes::from(text.into_boxed_slice())) }
    }

    fn is_small(&self, text: &[u8]) -> bool {
        matches!(&self.body, Body::Small(known) if **known == *text)
    }
}

/// Takes the text of one target, and makes a chunk of each family of a noun.
pub(super) struct ByFamily<'c> {
    families: &'static [&'static Family<'static>],
    encoder: &'c mut Encoder,
    /// The place of the family that is being written, and the bytes of it that the encoder has.
    at: usize,
    encoded: usize,
    /// By family, also those of before.
    chunks: &'c mut [Option<Arc<Chunk>>],
    former: Vec<Option<Arc<Chunk>>>,
}

impl<'c> ByFamily<'c> {
    pub(super) fn new(
        families: &'static [&'static Family<'static>],
        encoder: &'c mut Encoder,
        chunks: &'c mut [Option<Arc<Chunk>>],
    ) -> Self {
        let former = chunks.iter_mut().map(Option::take).collect();
        ByFamily { families, encoder, at: 0, encoded: 0, chunks, former }
    }

    /// Ends the family before, the rest of which is in `text`, and begins the one of this name.
    pub(super) fn begin(&mut self, name: &str, text: &mut Vec<u8>) {
        self.end(text);
        self.at = self.families.iter().position(|family| family.name == name).unwrap_or(usize::MAX);
    }

    pub(super) fn take(&mut self, text: &mut Vec<u8>) {
        self.encoded += text.len();
        self.encoder.take(text);
    }

    pub(super) fn end(&mut self, text: &mut Vec<u8>) {
        let chunk = if self.encoded > 0 {
            if !text.is_empty() {
                self.take(text);
            }
            Arc::new(Chunk { length: mem::take(&mut self.encoded), body: Body::Large(self.encoder.end()) })
        } else if text.is_empty() {
            return;
        } else {
            let former = self.former.get_mut(self.at).and_then(Option::take);
            let same = former.filter(|former| former.is_small(text));
            let chunk = same.unwrap_or_else(|| Arc::new(Chunk::small(text.clone())));
            text.clear();
            chunk
        };
        debug_assert!(self.at < self.chunks.len(), "a family that is not of the noun");
        if let Some(place) = self.chunks.get_mut(self.at) {
            *place = Some(chunk);
        }
    }
}
