//! Check every kernel against known answers, a plain rewriting of the definitions, and each other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::unhex;
use dexmesh_engine::crypto::secretbox::hsalsa20;
use dexmesh_engine::crypto::{
    Kernel, Key, Nonce, NonceSlot, Random, ScriptedRandom, Sealed, Secret, SeededRandom, Tag,
    open_batch, open_in_place, seal_batch, seal_in_place,
};
use proptest::prelude::*;

const KERNELS: [Kernel; 3] = [Kernel::Auto, Kernel::Avx2, Kernel::Portable];

/// From the tests of NaCl ("secretbox", "core1", "core2", "stream", "onetimeauth").
mod nacl {
    pub const SHARED: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    pub const FIRST_KEY: &str = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
    pub const NONCE: &str = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
    pub const MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705";
    pub const TAG: &str = "f3ffc7703f9400e52a7dfb4b3d3305d9";
    pub const SEALED: &str = "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5";
}

fn secret(hex: &str) -> Secret {
    Secret::new(unhex(hex).try_into().unwrap())
}

#[test]
fn hsalsa20_gives_the_first_key_of_nacl() {
    assert_eq!(
        hsalsa20(&secret(nacl::SHARED), &[0; 16]),
        secret(nacl::FIRST_KEY)
    );
}

#[test]
fn the_secretbox_of_nacl_is_sealed_and_opened_by_every_kernel() {
    for kernel in KERNELS {
        let (key, nonce) = (
            secret(nacl::FIRST_KEY),
            unhex(nacl::NONCE).try_into().unwrap(),
        );
        let mut message = unhex(nacl::MESSAGE);
        let tag = seal_in_place(kernel, &key, &nonce, &mut message);
        assert_eq!(tag.to_vec(), unhex(nacl::TAG));
        assert_eq!(message, unhex(nacl::SEALED));
        assert!(open_in_place(kernel, &key, &nonce, &tag, &mut message));
        assert_eq!(message, unhex(nacl::MESSAGE));
    }
}

/// The definitions once more, as plainly as they can be written, with numbers of 320 bits in a `Vec`.
mod plain {
    use super::{Key, Nonce, Tag};

    fn permute(start: &[u32; 16]) -> [u32; 16] {
        let mut x = *start;
        for round in 0..20 {
            for i in 0..4 {
                let line: [usize; 4] = core::array::from_fn(|j| {
                    if round % 2 == 0 {
                        4 * ((i + j) % 4) + i
                    } else {
                        4 * i + (i + j) % 4
                    }
                });
                for (step, shift) in [7, 9, 13, 18].into_iter().enumerate() {
                    let at = |back: usize| x[line[(step + 5 - back) % 4]];
                    let sum = at(1).wrapping_add(at(2));
                    x[line[(step + 1) % 4]] ^= sum.rotate_left(shift);
                }
            }
        }
        x
    }

    fn start(key: &[u32], input: &[u32]) -> [u32; 16] {
        let c: Vec<u32> = words(b"expand 32-byte k");
        let mut x = vec![c[0]];
        x.extend(&key[..4]);
        x.push(c[1]);
        x.extend(input);
        x.push(c[2]);
        x.extend(&key[4..]);
        x.push(c[3]);
        x.try_into().unwrap()
    }

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes
            .chunks(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    }

    fn key_stream(key: &Key, nonce: &Nonce, length: usize) -> Vec<u8> {
        let nonce = words(nonce);
        let mixed = permute(&start(&words(key.bytes()), &nonce[..4]));
        let own = [0, 5, 10, 15, 6, 7, 8, 9].map(|at| mixed[at]);
        let mut stream = Vec::new();
        for block in 0.. {
            if stream.len() >= length {
                break;
            }
            let start = start(&own, &[nonce[4], nonce[5], block, 0]);
            for (word, start) in permute(&start).into_iter().zip(start) {
                stream.extend(word.wrapping_add(start).to_le_bytes());
            }
        }
        stream
    }

    /// Schoolbook arithmetic on bytes, reduced by subtracting the prime as often as it goes.
    pub fn poly1305(key: &[u8], message: &[u8]) -> Tag {
        let mut r = key[..16].to_vec();
        for at in [3, 7, 11, 15] {
            r[at] &= 15;
        }
        for at in [4, 8, 12] {
            r[at] &= 252;
        }
        let mut h = vec![0_u32; 17];
        for block in message.chunks(16) {
            let mut block = block.to_vec();
            block.push(1);
            for (h, byte) in h.iter_mut().zip(block) {
                *h += u32::from(byte);
            }
            let mut product = vec![0_u32; 17];
            for i in 0..17 {
                for j in 0..16 {
                    // 2^136 = 64 * 2^130, and 2^130 = 5
                    let factor = if i + j >= 17 { 320 } else { 1 };
                    product[(i + j) % 17] += h[i] * u32::from(r[j]) * factor;
                }
            }
            h = product;
            for _ in 0..3 {
                squeeze(&mut h);
            }
        }
        let mut less = h.clone();
        less[0] += 5;
        for i in 0..16 {
            less[i + 1] += less[i] >> 8;
            less[i] &= 255;
        }
        let h = if less[16] >= 4 { less } else { h };
        let mut carry = 0;
        core::array::from_fn(|i| {
            carry += h[i] + u32::from(key[16 + i]);
            let byte = carry as u8;
            carry >>= 8;
            byte
        })
    }

    fn squeeze(h: &mut [u32]) {
        let mut carry = 0;
        for limb in &mut h[..16] {
            carry += *limb;
            *limb = carry & 255;
            carry >>= 8;
        }
        carry += h[16];
        h[16] = carry & 3;
        h[0] += 5 * (carry >> 2);
    }

    pub fn seal(key: &Key, nonce: &Nonce, message: &[u8]) -> (Tag, Vec<u8>) {
        let stream = key_stream(key, nonce, 32 + message.len());
        let sealed: Vec<u8> = message
            .iter()
            .zip(&stream[32..])
            .map(|(a, b)| a ^ b)
            .collect();
        (poly1305(&stream[..32], &sealed), sealed)
    }
}

fn kernels() -> impl Strategy<Value = Kernel> {
    prop::sample::select(&KERNELS[..])
}

/// Lengths near the edges of blocks and runs, and any.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, 480..560_usize, 950..1100_usize, 0..3000_usize]
}

fn data_nonce(slot: NonceSlot, counter: u32) -> Nonce {
    let mut nonce = [0; 24];
    let at = if slot == NonceSlot::Initiator { 4 } else { 0 };
    nonce[at..at + 4].copy_from_slice(&counter.to_le_bytes());
    nonce
}

fn noise(seed: [u8; 32], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_message_is_sealed_as_the_definitions_say(
        kernel in kernels(), seed: [u8; 32], key: [u8; 32], nonce: [u8; 24], length in lengths(), damage: u16,
    ) {
        let (key, plaintext) = (Secret::new(key), noise(seed, length));
        let mut message = plaintext.clone();
        let tag = seal_in_place(kernel, &key, &nonce, &mut message);
        prop_assert_eq!((tag, message.clone()), plain::seal(&key, &nonce, &plaintext));

        let mut damaged = [&tag[..], &message].concat();
        let bit = usize::from(damage) % (damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (bad_tag, rest) = damaged.split_at_mut(16);
        let before = rest.to_vec();
        prop_assert!(!open_in_place(kernel, &key, &nonce, &(&*bad_tag).try_into().unwrap(), rest));
        prop_assert_eq!(rest, before);

        prop_assert!(open_in_place(kernel, &key, &nonce, &tag, &mut message));
        prop_assert_eq!(message, plaintext);
    }

    #[test]
    fn a_batch_is_sealed_and_opened_as_its_messages_one_by_one(
        kernel in kernels(), seed: [u8; 32], initiator: bool, first: u32, equal: bool, damaged: u64,
        lengths in prop::collection::vec(lengths(), 0..40),
    ) {
        let slot = if initiator { NonceSlot::Initiator } else { NonceSlot::Responder };
        let key = Secret::new(seed);
        let mut arena = Vec::new();
        let mut boxes = Vec::new();
        let mut expected = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            let message = noise(seed, if equal { lengths[0] } else { *length });
            let counter = first.wrapping_add(i as u32);
            let (tag, sealed) = plain::seal(&key, &data_nonce(slot, counter), &message);
            expected.extend([&[0xee; 5], &tag[..], &sealed].concat());
            let start = arena.len() + 5;
            arena.extend([&[0xee; 21][..], &message].concat());
            boxes.push(Sealed { range: start..arena.len(), counter });
        }
        let plaintext = arena.clone();
        let mut verdicts = vec![false; boxes.len()];
        seal_batch(kernel, &key, slot, &mut arena, &boxes, &mut verdicts);
        prop_assert_eq!(&verdicts, &vec![true; boxes.len()]);
        prop_assert_eq!(&arena, &expected);

        let is_damaged = |i: usize| damaged >> (i % 64) & 1 == 1;
        for (i, one) in boxes.iter().enumerate().filter(|(i, _)| is_damaged(*i)) {
            arena[one.range.start + i % one.range.len()] ^= 0x40;
        }
        let sent = arena.clone();
        open_batch(kernel, &key, slot, &mut arena, &boxes, &mut verdicts);
        for (i, one) in boxes.iter().enumerate() {
            prop_assert_eq!(verdicts[i], !is_damaged(i));
            let range = one.range.start + 16..one.range.end;
            let right = if is_damaged(i) { &sent } else { &plaintext };
            prop_assert_eq!(&arena[range.clone()], &right[range]);
        }
    }

    #[test]
    fn poly1305_at_its_edges_is_the_same_in_every_kernel(length in 0..300_usize, fill in prop::sample::select(&[0_u8, 1, 0xfb, 0xfe, 0xff][..]), key: [u8; 32]) {
        // a ciphertext of extreme values: seal the key stream against it
        let key = Secret::new(key);
        let mut stream = vec![0; length];
        let _ = seal_in_place(Kernel::Portable, &key, &[0; 24], &mut stream);
        let message: Vec<u8> = stream.iter().map(|byte| byte ^ fill).collect();
        for kernel in KERNELS {
            let (tag, sealed) = plain::seal(&key, &[0; 24], &message);
            prop_assert_eq!(&sealed, &vec![fill; length]);
            let mut arena = [vec![0; 16], message.clone()].concat().repeat(8);
            let boxes: Vec<Sealed> = (0..8).map(|i| Sealed { range: i * (16 + length)..(i + 1) * (16 + length), counter: 0 }).collect();
            let mut verdicts = [false; 8];
            seal_batch(kernel, &key, NonceSlot::Responder, &mut arena, &boxes, &mut verdicts);
            for one in arena.chunks(16 + length) {
                prop_assert_eq!(&one[..16], &tag[..]);
            }
        }
    }
}

#[test]
fn boxes_that_do_not_fit_get_a_false_verdict_and_harm_nobody() {
    for kernel in KERNELS {
        let key = Secret::new([3; 32]);
        let mut arena = vec![1; 100];
        let ranges = [
            0..15,
            0..50,
            90..101,
            core::ops::Range { start: 40, end: 20 },
            50..100,
            usize::MAX - 3..usize::MAX,
        ];
        let boxes = ranges.map(|range| Sealed { range, counter: 9 });
        let mut verdicts = [true; 6];
        seal_batch(
            kernel,
            &key,
            NonceSlot::Responder,
            &mut arena,
            &boxes,
            &mut verdicts,
        );
        assert_eq!(verdicts, [false, true, false, false, true, false]);
        open_batch(
            kernel,
            &key,
            NonceSlot::Responder,
            &mut arena,
            &boxes,
            &mut verdicts,
        );
        assert_eq!(verdicts, [false, true, false, false, true, false]);
        assert_eq!(arena[16..50], [1; 34]);
        open_batch(
            kernel,
            &key,
            NonceSlot::Responder,
            &mut arena,
            &boxes,
            &mut verdicts[..1],
        );
    }
}

#[test]
fn a_point_of_low_order_gives_no_key() {
    use dexmesh_engine::crypto::{boxkey, pwkey};
    let private = Secret::new([5; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one] {
        assert_eq!(boxkey(&private, &point), None);
        assert_eq!(pwkey(&private, &point, &private), None);
    }
}

#[test]
fn secrets_are_not_printed() {
    let key = Secret::new([0x41; 32]);
    assert_eq!(format!("{key:?}"), "<secret>");
    assert!(
        !format!("{:?}", dexmesh_engine::crypto::LocalKeys::new([0x41; 32])).contains("65, 65")
    );
}

#[test]
fn seeded_random_depends_on_the_seed_and_never_repeats_itself() {
    let mut random = SeededRandom::new([1; 32]);
    let mut blocks: Vec<[u8; 32]> = (0..100)
        .map(|_| {
            let mut block = [0; 32];
            random.fill(&mut block);
            block
        })
        .collect();
    assert_eq!(noise([1; 32], 3200), blocks.concat());
    assert_ne!(noise([2; 32], 32), blocks[0]);
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), 100);
}

#[test]
fn scripted_random_gives_its_bytes_in_order_and_counts_what_is_missing() {
    let mut random = ScriptedRandom::new(&[1, 2]);
    random.push(&[3, 4]);
    let mut bytes = [9; 3];
    random.fill(&mut bytes);
    assert_eq!(
        (bytes, random.remaining(), random.missing()),
        ([1, 2, 3], 1, 0)
    );
    random.fill(&mut bytes);
    assert_eq!(
        (bytes, random.remaining(), random.missing()),
        ([4, 0, 0], 0, 2)
    );
}
