//! Print what sealing and opening one packet costs, by size, batch and kernel.
//!
//! Run with `cargo run --release -p dexmesh-engine --example crypto_bench`. Figures are nanoseconds a packet, best of
//! several rounds; compare columns of one run only.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use std::time::Instant;

use dexmesh_engine::crypto::{Kernel, NonceSlot, Sealed, Secret, open_batch, seal_batch};

const SIZES: [usize; 3] = [64, 512, 1304];
const BATCHES: [usize; 4] = [1, 4, 16, 64];
const ROUNDS: usize = 15;
const PACKETS_A_ROUND: usize = 16_384;
const HEADER_BYTES: usize = 20;

fn main() {
    println!(
        "{:>9} {:>6} {:>6} {:>9} {:>9}",
        "kernel", "bytes", "batch", "seal ns", "open ns"
    );
    for kernel in [Kernel::Portable, Kernel::Avx2, Kernel::Auto] {
        for size in SIZES {
            for batch in BATCHES {
                let (seal, open) = measure(kernel, size, batch);
                println!(
                    "{:>9} {size:>6} {batch:>6} {seal:>9.0} {open:>9.0}",
                    format!("{kernel:?}")
                );
            }
        }
    }
}

fn measure(kernel: Kernel, size: usize, batch: usize) -> (f64, f64) {
    let key = Secret::new([7; 32]);
    let stride = HEADER_BYTES + size;
    let mut arena = vec![0x5a; stride * batch];
    let boxes: Vec<Sealed> = (0..batch)
        .map(|i| Sealed {
            range: i * stride + 4..(i + 1) * stride,
            counter: 4 + i as u32,
        })
        .collect();
    let mut verdicts = vec![false; batch];
    let slot = NonceSlot::Initiator;
    let (mut best_seal, mut best_open) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (mut seal, mut open) = (0.0, 0.0);
        for _ in 0..PACKETS_A_ROUND / batch / 8 {
            let start = Instant::now();
            seal_batch(kernel, &key, slot, &mut arena, &boxes, &mut verdicts);
            let sealed = Instant::now();
            open_batch(kernel, &key, slot, &mut arena, &boxes, &mut verdicts);
            open += sealed.elapsed().as_nanos() as f64;
            seal += (sealed - start).as_nanos() as f64;
            assert!(verdicts.iter().all(|genuine| *genuine));
        }
        let packets = (PACKETS_A_ROUND / batch / 8 * batch) as f64;
        best_seal = best_seal.min(seal / packets);
        best_open = best_open.min(open / packets);
    }
    (best_seal, best_open)
}
