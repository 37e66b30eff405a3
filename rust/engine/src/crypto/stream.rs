//! Seal or open up to sixteen messages together: one key stream, shared by all of them.
//!
//! The first block of every message comes first, since its first half is the message's Poly1305 key; then the other
//! blocks, message after message. As many blocks as there are lanes are computed at a time, whoever they belong to.
//!
//! Place     batch.rs and secretbox.rs -> here -> salsa20.rs, poly1305.rs
//! Spec      docs/protocol/01, "Toolbox"
//! Keeps     allocates nothing; a message whose tag is wrong is left as it came
//! Not here  nonces and the place of tags (batch.rs, secretbox.rs)

use core::ops::Range;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::keys::Key;
use super::lanes::{Arrays, Block, Lanes};
use super::poly1305::{self, OneTimeKey};
use super::salsa20::{self, KeyWords};
use super::secretbox::{Kernel, Tag};

/// How many messages go together.
pub(super) const GROUP: usize = 16;
const PORTABLE: Arrays<4, 2> = Arrays;
const ONE: Arrays<1, 1> = Arrays;
/// So few messages get their keys faster one by one.
const FEW: usize = 2;
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
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::x86::{V3, V4};
        if let (Kernel::Auto, Some(token)) = (kernel, V4::try_new()) {
            return token.vectorize(
                #[inline(always)]
                || job.run(token),
            );
        }
        if let (Kernel::Auto | Kernel::Avx2, Some(token)) = (kernel, V3::try_new()) {
            return token.vectorize(
                #[inline(always)]
                || job.run(token),
            );
        }
    }
    let _ = kernel; // elsewhere there is one kernel only
    job.run(PORTABLE);
}

struct Job<'a> {
    direction: Direction,
    key: &'a Key,
    arena: &'a mut [u8],
    messages: &'a mut [Message],
}

/// A block of the key stream: of which message, and its number there.
#[derive(Clone, Copy, Default)]
struct Place {
    message: usize,
    block: usize,
}

impl Job<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self {
            direction,
            key,
            arena,
            messages,
        } = self;
        let count = messages.len().min(GROUP);
        let messages = &mut messages[..count];
        let mut keys = message_keys(lanes, key, messages);
        let mut places = Places::new(arena, messages);
        let head = Head::new(lanes, &keys, messages, &mut places);
        if direction == Direction::Open {
            let tags = authenticate(lanes, &head.one_time_keys(), arena, messages);
            verify(messages, &tags, &mut places);
        }
        head.apply(arena, messages);
        apply_rest(lanes, &keys, arena, messages, &mut places);
        if direction == Direction::Seal {
            let tags = authenticate(lanes, &head.one_time_keys(), arena, messages);
            for (message, tag) in messages.iter_mut().zip(tags) {
                message.tag = tag;
            }
        }
        for key in &mut keys[..count] {
            key.zeroize();
        }
    }
}

/// Compare the tags; messages whose tag is wrong become empty, so that nothing is decrypted.
#[inline(always)]
fn verify(messages: &mut [Message], tags: &[Tag; GROUP], places: &mut Places) {
    for ((message, tag), length) in messages.iter_mut().zip(tags).zip(&mut places.lengths) {
        message.genuine = message.tag.ct_eq(tag).into();
        if !message.genuine {
            message.range = 0..0;
            *length = 0;
        }
    }
}

/// The first blocks of all messages, and what else was computed along with them.
struct Head {
    blocks: [Block; GROUP],
    places: [Place; GROUP],
    filled: usize,
}

impl Head {
    #[inline(always)]
    fn new<L: Lanes>(
        lanes: L,
        keys: &[KeyWords; GROUP],
        messages: &[Message],
        places: &mut Places,
    ) -> Self {
        let mut head = Self {
            blocks: [[0; BLOCK_BYTES]; GROUP],
            places: [Place::default(); GROUP],
            filled: 0,
        };
        let runs = head.places.chunks_exact_mut(L::WORDS);
        for (run, blocks) in runs.zip(head.blocks.chunks_exact_mut(L::WORDS)) {
            if head.filled < messages.len() {
                head.filled += places.take(run);
                key_stream(lanes, keys, messages, run, blocks);
            }
        }
        head
    }

    #[inline(always)]
    fn one_time_keys(&self) -> [OneTimeKey; GROUP] {
        let mut keys = [OneTimeKey::default(); GROUP];
        for (key, block) in keys.iter_mut().zip(&self.blocks) {
            key.copy_from_slice(&block[..ONE_TIME_KEY_BYTES]);
        }
        keys
    }

    #[inline(always)]
    fn apply(&self, arena: &mut [u8], messages: &[Message]) {
        for (place, block) in self.places[..self.filled].iter().zip(&self.blocks) {
            apply(arena, &messages[place.message], place.block, block);
        }
    }
}

#[inline(always)]
fn apply_rest<L: Lanes>(
    lanes: L,
    keys: &[KeyWords; GROUP],
    arena: &mut [u8],
    messages: &[Message],
    places: &mut Places,
) {
    let mut run = [Place::default(); GROUP];
    let mut blocks = [[0; BLOCK_BYTES]; GROUP];
    let (run, blocks) = (&mut run[..L::WORDS], &mut blocks[..L::WORDS]);
    loop {
        let filled = places.take(run);
        if filled == 0 {
            return;
        }
        key_stream(lanes, keys, messages, run, blocks);
        for (place, block) in run[..filled].iter().zip(&*blocks) {
            apply(arena, &messages[place.message], place.block, block);
        }
    }
}

/// HSalsa20 for every message, as many at a time as there are lanes.
#[inline(always)]
fn message_keys<L: Lanes>(lanes: L, key: &Key, messages: &[Message]) -> [KeyWords; GROUP] {
    let words = salsa20::key_words(key.bytes());
    let mut keys = [KeyWords::default(); GROUP];
    if messages.len() <= FEW {
        for (message, key) in messages.iter().zip(&mut keys) {
            *key = hsalsa20_of(&words, message.head);
        }
        return keys;
    }
    for (messages, keys) in messages.chunks(L::WORDS).zip(keys.chunks_mut(L::WORDS)) {
        let input = [0, 1, 2, 3].map(|at: usize| {
            lanes.words(|lane| messages.get(lane).map_or(0, |message| message.head[at]))
        });
        let state = salsa20::state(lanes, words.map(|word| lanes.words(|_| word)), input);
        let own = salsa20::hsalsa20(lanes, &state).map(|word| lanes.each_word(word));
        for (lane, key) in keys.iter_mut().enumerate() {
            *key = own.map(|word| word[lane]);
        }
    }
    keys
}

/// All blocks that are needed, in the order they are computed.
struct Places {
    count: usize,
    lengths: [usize; GROUP],
    heads: usize,
    next: Place,
}

impl Places {
    #[inline(always)]
    fn new(arena: &[u8], messages: &[Message]) -> Self {
        let mut lengths = [0; GROUP];
        for (length, message) in lengths.iter_mut().zip(messages) {
            *length = arena.get(message.range.clone()).map_or(0, <[u8]>::len);
        }
        Self {
            count: messages.len(),
            lengths,
            heads: 0,
            next: Place {
                message: 0,
                block: 1,
            },
        }
    }

    /// Fill `run` from the front; says how many there were. The others repeat the last.
    #[inline(always)]
    fn take(&mut self, run: &mut [Place]) -> usize {
        let mut filled = 0;
        while filled < run.len() && self.heads < self.count {
            run[filled] = Place {
                message: self.heads,
                block: 0,
            };
            self.heads += 1;
            filled += 1;
        }
        while filled < run.len() && self.next.message < self.count {
            let bytes = ONE_TIME_KEY_BYTES + self.lengths[self.next.message];
            let end = bytes.div_ceil(BLOCK_BYTES);
            while filled < run.len() && self.next.block < end {
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
        if let Some(last) = filled
            .checked_sub(1)
            .and_then(|last| run.get(last).copied())
        {
            run[filled..].fill(last);
        }
        filled
    }
}

/// Compute the blocks at these places; there are as many as lanes.
#[inline(always)]
fn key_stream<L: Lanes>(
    lanes: L,
    keys: &[KeyWords; GROUP],
    messages: &[Message],
    run: &[Place],
    blocks: &mut [Block],
) {
    let first = run[0].message;
    let input = |at: usize| lanes.words(|lane| messages[run[lane].message].tail[at]);
    let number = |shift: u32| lanes.words(|lane| (run[lane].block as u64 >> shift) as u32);
    let input = [input(0), input(1), number(0), number(32)];
    let key = if run.iter().all(|place| place.message == first) {
        keys[first].map(|word| lanes.words(|_| word))
    } else {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|at: usize| lanes.words(|lane| keys[run[lane].message][at]))
    };
    let state = salsa20::state(lanes, key, input);
    lanes.store(&salsa20::expand(lanes, &state), blocks);
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

/// The tags of all messages, as many at a time as there are lanes.
#[inline(always)]
fn authenticate<L: Lanes>(
    lanes: L,
    keys: &[OneTimeKey; GROUP],
    arena: &[u8],
    messages: &[Message],
) -> [Tag; GROUP] {
    let mut tags = [Tag::default(); GROUP];
    let mut texts = [&[][..]; GROUP];
    for (text, message) in texts.iter_mut().zip(messages) {
        *text = arena.get(message.range.clone()).unwrap_or_default();
    }
    let groups = texts[..messages.len()]
        .chunks(L::LONGS)
        .zip(keys.chunks(L::LONGS))
        .zip(tags.chunks_mut(L::LONGS));
    for ((texts, keys), tags) in groups {
        if texts.len() == L::LONGS {
            poly1305::tags(lanes, keys, texts, tags);
            continue;
        }
        for ((text, key), tag) in texts.iter().zip(keys).zip(tags) {
            *tag = poly1305::tag(key, text);
        }
    }
    tags
}

/// HSalsa20 of one key.
pub(super) fn hsalsa20(key: &Key, input: [u32; 4]) -> KeyWords {
    hsalsa20_of(&salsa20::key_words(key.bytes()), input)
}

#[inline(always)]
fn hsalsa20_of(key: &KeyWords, input: [u32; 4]) -> KeyWords {
    let state = salsa20::state(ONE, key.map(|word| [word]), input.map(|word| [word]));
    salsa20::hsalsa20(ONE, &state).map(|[word]| word)
}
