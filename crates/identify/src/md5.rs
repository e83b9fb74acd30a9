//! MD5 (RFC 1321): not for security, but because catalogues of pictures know them by it.

const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const BEGINNING: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The digest as 32 hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut state = BEGINNING;
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        turn(&mut state, block);
    }
    // A bit, zeros up to 56 of the last 64, and the length in bits.
    let mut last = rest.to_vec();
    last.push(0x80);
    while last.len() % 64 != 56 {
        last.push(0);
    }
    let bits = u64::try_from(bytes.len()).unwrap_or_default().wrapping_mul(8);
    last.extend(bits.to_le_bytes());
    for block in last.as_chunks::<64>().0 {
        turn(&mut state, block);
    }
    // The words are little-endian, so their digits are those of the words turned around.
    state.iter().fold(String::with_capacity(32), |digits, word| format!("{digits}{:08x}", word.swap_bytes()))
}

fn turn(state: &mut [u32; 4], block: &[u8; 64]) {
    let words: Vec<u32> = block.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let [mut a, mut b, mut c, mut d] = *state;
    for (index, sine) in SINES.into_iter().enumerate() {
        let (mixed, at) = match index / 16 {
            0 => (b & c | !b & d, index),
            1 => (d & b | !d & c, 5 * index + 1),
            2 => (b ^ c ^ d, 3 * index + 5),
            _ => (c ^ (b | !d), 7 * index),
        };
        let word = words.get(at % 16).copied().unwrap_or_default();
        let shift = SHIFTS.get(index / 16).and_then(|shifts| shifts.get(index % 4)).copied().unwrap_or_default();
        let sum = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(word);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1321, appendix A.5.
    #[test]
    fn the_standards_examples() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(hexadecimal(text.as_bytes()), digest);
        }
    }
}
