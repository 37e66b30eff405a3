//! Seal or open up to sixteen messages together: one key stream, shared by all of them.
//!
//! The first block of every message comes first, since its first half is the message's Poly1305 key; then the other
//! blocks, message after message. N blocks are computed at a time, whoever they belong to.
//!
//! Place     batch.rs and secretbox.rs -> here -> salsa20.rs, poly1305.rs
//! Spec      docs/protocol/01, "Toolbox"
//! Keeps     allocates nothing; a message whose tag is wrong is left as it came
//! Not here  nonces and the place of tags (batch.rs, secretbox.rs)

use core::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::keys::Key;
use super::poly1305::{self, OneTimeKey};
use super::salsa20::{self, KeyWords};
use super::secretbox::{Kernel, Tag};

/// How many messages go together.
pub(super) const GROUP: usize = 16;
const BLOCK_BYTES: usize = 64;
const ONE_TIME_KEY_BYTES: usize = 32;

/// One message of an arena and its nonce.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) range: Range<usize>,
    /// The first four words of the nonce: with the key they give the message's own key.
    pub(super) head: [u32; 4],
    /// The last two.
    pub(super) tail: [u32; 2],
    pub(super) tag: Tag,
    /// After opening: whether the tag was right.
    pub(super) genuine: bool,
}

impl Message {
    /// No message at all.
    pub(super) const fn new() -> Self {
        Self {
            range: 0..0,
            head: [0; 4],
            tail: [0; 2],
            tag: [0; 16],
            genuine: false,
        }
    }
}

/// What to do with the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Encrypt and write the tags.
    Seal,
    /// Compare the tags and decrypt.
    Open,
}

/// Process up to [`GROUP`] messages.
pub(super) fn process(
    kernel: Kernel,
    direction: Direction,
    key: &Key,
    arena: &mut [u8],
    messages: &mut [Message],
) {
    let job = Job {
        direction,
        key,
        arena,
        messages,
    };
    match kernel {
        Kernel::Auto => Arch::new().dispatch(job),
        Kernel::Portable => job.run::<4, 4>(),
    }
}

struct Job<'a> {
    direction: Direction,
    key: &'a Key,
    arena: &'a mut [u8],
    messages: &'a mut [Message],
}

impl WithSimd for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match S::U32_LANES {
            16 => self.run::<16, 8>(),
            8 => self.run::<8, 4>(),
            _ => self.run::<4, 4>(),
        }
    }
}

/// A block of the key stream: of which message, and its number there.
#[derive(Clone, Copy, Default)]
struct Place {
    message: usize,
    block: usize,
}

type Block = [u8; BLOCK_BYTES];

impl Job<'_> {
    #[inline(always)]
    fn run<const N: usize, const M: usize>(self) {
        let Self {
            direction,
            key,
            arena,
            messages,
        } = self;
        let count = messages.len().min(GROUP);
        let mut keys = message_keys::<N>(key, &messages[..count]);
        let mut lengths = [0; GROUP];
        for (length, message) in lengths.iter_mut().zip(&*messages) {
            *length = arena.get(message.range.clone()).map_or(0, <[u8]>::len);
        }
        let mut places = Places::new(count, &lengths);
        let mut head = [[0; BLOCK_BYTES]; GROUP];
        let mut head_places = [Place::default(); GROUP];
        let mut filled = 0;
        for (blocks, run) in head
            .as_chunks_mut::<N>()
            .0
            .iter_mut()
            .zip(head_places.as_chunks_mut::<N>().0)
        {
            if filled < count {
                filled += places.take(run);
                *blocks = key_stream(&keys, messages, run);
            }
        }
        let mut one_time_keys = [OneTimeKey::default(); GROUP];
        for (one_time_key, block) in one_time_keys.iter_mut().zip(&head) {
            one_time_key.copy_from_slice(&block[..ONE_TIME_KEY_BYTES]);
        }
        if direction == Direction::Open {
            let mut tags = [Tag::default(); GROUP];
            authenticate::<M>(&one_time_keys, arena, &messages[..count], &mut tags);
            for (message, tag) in messages.iter_mut().zip(&tags) {
                message.genuine = message.tag.ct_eq(tag).into();
            }
        }
        let wanted = |message: &Message| direction == Direction::Seal || message.genuine;
        for (place, block) in head_places[..filled].iter().zip(&head) {
            if wanted(&messages[place.message]) {
                apply(arena, &messages[place.message], place.block, block);
            }
        }
        loop {
            let mut run = [Place::default(); N];
            let filled = places.take(&mut run);
            if filled == 0 {
                break;
            }
            let blocks = key_stream(&keys, messages, &run);
            for (place, block) in run[..filled].iter().zip(&blocks) {
                if wanted(&messages[place.message]) {
                    apply(arena, &messages[place.message], place.block, block);
                }
            }
        }
        if direction == Direction::Seal {
            let mut tags = [Tag::default(); GROUP];
            authenticate::<M>(&one_time_keys, arena, &messages[..count], &mut tags);
            for (message, tag) in messages.iter_mut().zip(&tags) {
                message.tag = *tag;
            }
        }
        keys.zeroize();
        one_time_keys.zeroize();
    }
}

/// HSalsa20 for every message, N at a time.
#[inline(always)]
fn message_keys<const N: usize>(key: &Key, messages: &[Message]) -> [KeyWords; GROUP] {
    let words = salsa20::key_words(key.bytes());
    let mut keys = [KeyWords::default(); GROUP];
    for (messages, keys) in messages.chunks(N).zip(keys.chunks_mut(N)) {
        let mut input = [[0; N]; 4];
        for (lane, message) in messages.iter().enumerate() {
            for (word, head) in input.iter_mut().zip(message.head) {
                word[lane] = head;
            }
        }
        let own = salsa20::hsalsa20(&salsa20::state(&words.map(|word| [word; N]), &input));
        for (lane, key) in keys.iter_mut().enumerate() {
            *key = own.map(|word| word[lane]);
        }
    }
    keys
}

/// All blocks that are needed, in the order they are computed.
struct Places<'a> {
    count: usize,
    lengths: &'a [usize; GROUP],
    heads: usize,
    next: Place,
}

impl<'a> Places<'a> {
    #[inline(always)]
    const fn new(count: usize, lengths: &'a [usize; GROUP]) -> Self {
        Self {
            count,
            lengths,
            heads: 0,
            next: Place {
                message: 0,
                block: 1,
            },
        }
    }

    /// Fill `run` from the front; says how many there were. The others stay the first message's first block.
    #[inline(always)]
    fn take<const N: usize>(&mut self, run: &mut [Place; N]) -> usize {
        let mut filled = 0;
        while filled < N && self.heads < self.count {
            run[filled] = Place {
                message: self.heads,
                block: 0,
            };
            self.heads += 1;
            filled += 1;
        }
        while filled < N && self.next.message < self.count {
            let bytes = ONE_TIME_KEY_BYTES + self.lengths[self.next.message];
            let end = bytes.div_ceil(BLOCK_BYTES);
            while filled < N && self.next.block < end {
                run[filled] = self.next;
                self.next.block += 1;
                filled += 1;
            }
            if self.next.block >= end {
                self.next = Place {
                    message: self.next.message + 1,
                    block: 1,
                };
            }
        }
        filled
    }
}

#[inline(always)]
fn key_stream<const N: usize>(
    keys: &[KeyWords; GROUP],
    messages: &[Message],
    run: &[Place; N],
) -> [Block; N] {
    let mut own = [[0; N]; 8];
    let mut input = [[0; N]; 4];
    for (lane, place) in run.iter().enumerate() {
        for (word, key) in own.iter_mut().zip(&keys[place.message]) {
            word[lane] = *key;
        }
        let [a, b] = messages[place.message].tail;
        let block = place.block as u64;
        for (word, value) in input
            .iter_mut()
            .zip([a, b, block as u32, (block >> 32) as u32])
        {
            word[lane] = value;
        }
    }
    let words = salsa20::core(&salsa20::state(&own, &input));
    let mut blocks = [[0; BLOCK_BYTES]; N];
    for (lane, block) in blocks.iter_mut().enumerate() {
        for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(&words) {
            *bytes = word[lane].to_le_bytes();
        }
    }
    blocks
}

/// Xor a block of the key stream where it belongs.
#[inline(always)]
fn apply(arena: &mut [u8], message: &Message, number: usize, block: &Block) {
    let Some(bytes) = arena.get_mut(message.range.clone()) else {
        return;
    };
    let (start, stream) = match number {
        0 => (0, &block[ONE_TIME_KEY_BYTES..]),
        _ => (number * BLOCK_BYTES - ONE_TIME_KEY_BYTES, &block[..]),
    };
    let Some(bytes) = bytes.get_mut(start..) else {
        return;
    };
    if let (Some(bytes), Ok(stream)) = (
        bytes.first_chunk_mut::<BLOCK_BYTES>(),
        <&Block>::try_from(stream),
    ) {
        for (byte, stream) in bytes.iter_mut().zip(stream) {
            *byte ^= stream;
        }
        return;
    }
    for (byte, stream) in bytes.iter_mut().zip(stream) {
        *byte ^= stream;
    }
}

/// The tags of all messages, M at a time while there are so many.
#[inline(always)]
fn authenticate<const M: usize>(
    keys: &[OneTimeKey; GROUP],
    arena: &[u8],
    messages: &[Message],
    tags: &mut [Tag; GROUP],
) {
    let mut texts = [&[][..]; GROUP];
    for (text, message) in texts.iter_mut().zip(messages) {
        *text = arena.get(message.range.clone()).unwrap_or_default();
    }
    let texts = &texts[..messages.len()];
    let (texts, last_texts) = texts.as_chunks::<M>();
    let (keys, last_keys) = keys[..messages.len()].as_chunks::<M>();
    let (tags, last_tags) = tags[..messages.len()].as_chunks_mut::<M>();
    for ((texts, keys), tags) in texts.iter().zip(keys).zip(tags) {
        *tags = poly1305::tags(keys, texts);
    }
    for ((text, key), tag) in last_texts.iter().zip(last_keys).zip(last_tags) {
        *tag = poly1305::tag(key, text);
    }
}

/// HSalsa20 of one key.
pub(super) fn hsalsa20(key: &Key, input: [u32; 4]) -> KeyWords {
    let words = salsa20::key_words(key.bytes()).map(|word| [word]);
    salsa20::hsalsa20(&salsa20::state(&words, &input.map(|word| [word]))).map(|[word]| word)
}
