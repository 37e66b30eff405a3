//! Every input that a fuzzer found worth keeping is survived (tests/fuzz/corpus; docs/fuzzing.md says how to find more).

#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;

#[path = "../../../tests/fuzz/rust/targets/mod.rs"]
mod targets;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let mut inputs: Vec<_> = fs::read_dir(folder.join(name))
        .expect("a folder of inputs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    for path in inputs {
        println!("{}", path.display());
        target(&fs::read(path).expect("an input"));
    }
    target(&[]);
}

macro_rules! replayed {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), targets::$target);
            }
        )+
    };
}

replayed!(
    cryptoauth_packets,
    ip_headers,
    link_datagrams,
    media_streams,
    offload_join,
    offload_split,
    session_packets,
    switch_frames,
    switch_packets,
    tun_packets,
);
