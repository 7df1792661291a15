//! The next delimiter or line end, eight bytes at a time.

/// Walks over the positions of two bytes. Fields are short, so a word in registers beats a call per field.
pub(crate) struct Marks<'a> {
    bytes: &'a [u8],
    first: u64,
    second: u64,
    /// Where the word in `mask` begins.
    base: usize,
    /// The top bit of each byte of the word that is a mark not passed yet.
    mask: u64,
}

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The top bit of each byte that is zero; exact for every byte, unlike the shorter form that borrows.
#[inline]
fn zeros(word: u64) -> u64 {
    !(((word & LOW) + LOW) | word | LOW)
}

impl<'a> Marks<'a> {
    pub(crate) fn new(bytes: &'a [u8], first: u8, second: u8) -> Self {
        let spread = |b: u8| u64::from_le_bytes([b; 8]);
        let mut marks = Marks { bytes, first: spread(first), second: spread(second), base: 0, mask: 0 };
        marks.mask = marks.word(0);
        marks
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        let word = match self.bytes.get(at..at + 8).and_then(|w| <[u8; 8]>::try_from(w).ok()) {
            Some(word) => u64::from_le_bytes(word),
            None => return self.last_word(at),
        };
        zeros(word ^ self.first) | zeros(word ^ self.second)
    }

    /// The word at the end, which is not whole.
    #[cold]
    fn last_word(&self, at: usize) -> u64 {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().take(8).enumerate().fold(0, |mask, (i, &b)| {
            let hit = b == self.first as u8 || b == self.second as u8;
            mask | (u64::from(hit) * 0x80) << (8 * i)
        })
    }

    /// The next mark, or the end of the bytes.
    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        while self.mask == 0 {
            self.base += 8;
            if self.base >= self.bytes.len() {
                self.base = self.bytes.len();
                return self.base;
            }
            self.mask = self.word(self.base);
        }
        let at = self.base + (self.mask.trailing_zeros() / 8) as usize;
        self.mask &= self.mask - 1;
        at
    }

    /// Goes on from `at`, which may be anywhere.
    #[inline]
    pub(crate) fn seek(&mut self, at: usize) {
        self.base = at;
        self.mask = self.word(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(bytes in prop::collection::vec(prop::sample::select(vec![b',', b'\n', b'a', 0, 0x80, 0xac, b'-']), 0..60), from in 0usize..60) {
            let from = from.min(bytes.len());
            let mut marks = Marks::new(&bytes, b',', b'\n');
            marks.seek(from);
            for (i, b) in bytes.iter().enumerate().skip(from) {
                if matches!(b, b',' | b'\n') {
                    prop_assert_eq!(marks.next(), i);
                }
            }
            prop_assert_eq!(marks.next(), bytes.len());
        }
    }
}
