//! Code sound as G.711 does: one byte a sample, 8000 a second; PCMU (mu-law) and PCMA (A-law).
//!
//! Place     rust/python (`Law`, `G711`) -> here
//! Spec      ITU-T G.711; the two laws as ITU-T G.191 (Software Tool Library, module G711) writes them
//! Keeps     arithmetic and no tables: with one frame in 20 ms a table is never in the cache
//! Not here  lost frames (concealment.rs)

/// How a sample becomes a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Of North America and Japan.
    Mu,
    /// Of the others.
    A,
}

const SIGN: u8 = 0x80;
const MU_BIAS: u16 = 132;
const MOST: u16 = 0x7FFF;

impl Law {
    /// The code of a sample of 16 bits.
    #[must_use]
    pub fn encode(self, sample: i16) -> u8 {
        // One's complement, as G.191.
        let magnitude = (if sample < 0 { !sample } else { sample }).cast_unsigned();
        let code = match self {
            Self::Mu => mu_code((magnitude + MU_BIAS).min(MOST)),
            Self::A => a_code(magnitude),
        };
        if sample < 0 { code } else { code | SIGN }
    }

    /// The sample of 16 bits that a decoder gives for a code.
    #[must_use]
    pub fn decode(self, code: u8) -> i16 {
        let magnitude = match self {
            Self::Mu => mu_magnitude(!code & 0x7F),
            Self::A => a_magnitude((code ^ 0x55) & 0x7F),
        };
        if code & SIGN == 0 {
            -magnitude
        } else {
            magnitude
        }
    }
}

/// From the place of the highest bit: 0 for less than 256.
fn segment(magnitude: u16) -> u32 {
    8_u32.saturating_sub(magnitude.leading_zeros())
}

fn mu_code(biased: u16) -> u8 {
    let segment = segment(biased);
    let step = (biased >> (segment + 3)) as u8 & 0x0F;
    ((segment as u8) << 4 | step) & 0x7F ^ 0x7F
}

fn mu_magnitude(code: u8) -> i16 {
    let (segment, step) = (code >> 4, i16::from(code & 0x0F));
    ((2 * step + 33) << (segment + 2)) - MU_BIAS.cast_signed()
}

fn a_code(magnitude: u16) -> u8 {
    let segment = segment(magnitude);
    let step = (magnitude >> (segment.max(1) + 3)) as u8 & 0x0F;
    ((segment as u8) << 4 | step) & 0x7F ^ 0x55
}

fn a_magnitude(code: u8) -> i16 {
    let (segment, step) = (code >> 4, i16::from(code & 0x0F));
    if segment == 0 {
        (2 * step + 1) << 3
    } else {
        (2 * step + 33) << (segment + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T G.711, table 2a (in 14 bits) and 1a (in 13): where a segment ends, and the highest and the lowest
    /// output of a decoder inside it, the loudest segment first.
    const MU_SEGMENTS: [(i16, i16, i16); 8] = [
        (8159, 8031, 4191),
        (4063, 3999, 2079),
        (2015, 1983, 1023),
        (991, 975, 495),
        (479, 471, 231),
        (223, 219, 99),
        (95, 93, 33),
        (31, 30, 0),
    ];
    const A_SEGMENTS: [(i16, i16, i16); 8] = [
        (4096, 4032, 2112),
        (2048, 2016, 1056),
        (1024, 1008, 528),
        (512, 504, 264),
        (256, 252, 132),
        (128, 126, 66),
        (64, 63, 33),
        (32, 31, 1),
    ];

    #[test]
    fn the_outputs_are_those_of_the_recommendation() {
        for (number, (_, highest, lowest)) in (0_u8..).zip(MU_SEGMENTS) {
            let first = 0x80 + 16 * number; // character signals count downwards in loudness
            assert_eq!(Law::Mu.decode(first), 4 * highest);
            assert_eq!(Law::Mu.decode(first + 15), 4 * lowest);
            assert_eq!(Law::Mu.decode(first - 0x80), -4 * highest);
        }
        for (number, (_, highest, lowest)) in (0_u8..).zip(A_SEGMENTS) {
            let first = 0xFF - 16 * number; // before every second bit is inverted
            assert_eq!(Law::A.decode(first ^ 0x55), 8 * highest);
            assert_eq!(Law::A.decode((first - 15) ^ 0x55), 8 * lowest);
            assert_eq!(Law::A.decode((first - 0x80) ^ 0x55), -8 * highest);
        }
    }

    #[test]
    fn a_segment_ends_at_its_decision_value() {
        for (law, segments, scale) in [(Law::Mu, MU_SEGMENTS, 4), (Law::A, A_SEGMENTS, 8)] {
            for ((end, highest, _), (_, _, lowest)) in segments.iter().skip(1).zip(segments) {
                let heard = |sample| law.decode(law.encode(sample));
                assert_eq!(heard(end * scale - 1), highest * scale);
                assert_eq!(heard(end * scale), lowest * scale);
            }
        }
    }

    #[test]
    fn a_louder_sample_never_gets_a_softer_code() {
        for law in [Law::Mu, Law::A] {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = law.decode(law.encode(sample));
                assert!(heard >= before, "{law:?} {sample}");
                let error = (i32::from(heard) - i32::from(sample)).abs();
                let half_a_step = (i32::from(sample).abs() + 132) / 31;
                assert!(error <= half_a_step.max(8), "{law:?} {sample}");
                before = heard;
            }
        }
    }

    #[test]
    fn what_was_decoded_is_encoded_as_it_was() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=u8::MAX {
                let is_minus_zero = law == Law::Mu && code == 0x7F;
                assert!(is_minus_zero || law.encode(law.decode(code)) == code);
            }
        }
    }
}
