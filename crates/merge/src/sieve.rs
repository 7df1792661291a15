//! Which keys were surely not met, in memory that does not grow: a Bloom filter, split into blocks of a cache line's half, as
//! in [Parquet's specification](https://github.com/apache/parquet-format/blob/master/BloomFilter.md).

/// Of 32 bytes each: 32 MiB in all. Of 30 million keys one in fifty is taken for a known one by mistake, of 6 million hardly
/// any.
const BLOCKS: usize = 1 << 20;

/// Odd numbers without a pattern, one for each word of a block.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Keys by their hashes.
pub(crate) struct Sieve {
    blocks: Vec<[u32; 8]>,
}

impl Default for Sieve {
    fn default() -> Self {
        Sieve { blocks: vec![[0; 8]; BLOCKS] }
    }
}

impl Sieve {
    /// Takes a key in; whether it was surely not in before.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) -> bool {
        let place = ((hash >> 32) * self.blocks.len() as u64) >> 32;
        let block = &mut self.blocks[place as usize];
        let mut new = 0;
        for (word, salt) in block.iter_mut().zip(SALT) {
            let bit = 1 << ((hash as u32).wrapping_mul(salt) >> 27);
            new |= !*word & bit;
            *word |= bit;
        }
        new != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn few_keys_are_taken_for_known_ones_by_mistake() {
        let mut sieve = Sieve { blocks: vec![[0; 8]; BLOCKS / 256] };
        // As many bits for each as with 6 million, and with 30 million.
        for (until, share) in [(23_437_u64, 1e-3), (117_187, 0.02)] {
            let from = if until > 100_000 { 23_437 } else { 0 };
            let mistaken = (from..until).filter(|key| !sieve.insert(xxh3_64(&key.to_le_bytes()))).count();
            assert!(mistaken as f64 <= share * until as f64, "{mistaken} of {until}");
        }
        assert!((0..117_187_u64).all(|key| !sieve.insert(xxh3_64(&key.to_le_bytes()))));
    }
}
