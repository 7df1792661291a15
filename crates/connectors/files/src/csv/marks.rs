//! The next delimiter or line end, 64 bytes at a time.

/// Walks over the positions of two bytes. Fields are short: one look at a window serves several of them, and the branch
/// that asks for the next window is seldom taken, where a search per field would be mispredicted on each.
pub(crate) struct Marks<'a> {
    bytes: &'a [u8],
    first: u8,
    second: u8,
    /// Where the window begins.
    base: usize,
    /// The marks of the window that were not passed yet, one bit a byte.
    mask: u64,
}

const WINDOW: usize = 64;

impl<'a> Marks<'a> {
    pub(crate) fn new(bytes: &'a [u8], first: u8, second: u8) -> Self {
        let mut marks = Marks { bytes, first, second, base: 0, mask: 0 };
        marks.mask = marks.window(0);
        marks
    }

    #[inline]
    fn window(&self, at: usize) -> u64 {
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk::<WINDOW>()) {
            Some(window) => self.mask_of(window),
            None => self.last_window(at),
        }
    }

    /// Written so that the comparisons become vector instructions.
    #[inline]
    fn mask_of(&self, window: &[u8; WINDOW]) -> u64 {
        let mut hits = [0u8; WINDOW];
        for (hit, b) in hits.iter_mut().zip(window) {
            *hit = u8::from(*b == self.first) | u8::from(*b == self.second);
        }
        let (words, _) = hits.as_chunks::<8>();
        words.iter().enumerate().fold(0, |mask, (i, word)| {
            // Eight bytes of 0 or 1 into eight bits: the product puts byte n's bit at 56 + n and carries into none.
            let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            mask | bits << (8 * i)
        })
    }

    /// The window at the end, which is not whole.
    #[cold]
    fn last_window(&self, at: usize) -> u64 {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let hit = |b: u8| b == self.first || b == self.second;
        rest.iter().take(WINDOW).enumerate().fold(0, |mask, (i, &b)| mask | u64::from(hit(b)) << i)
    }

    /// The next mark, or the end of the bytes.
    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        while self.mask == 0 {
            self.base += WINDOW;
            if self.base >= self.bytes.len() {
                self.base = self.bytes.len();
                return self.base;
            }
            self.mask = self.window(self.base);
        }
        let at = self.base + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        at
    }

    /// Goes on from `at`, which is not before the last mark.
    #[inline]
    pub(crate) fn seek(&mut self, at: usize) {
        let ahead = at - self.base;
        if ahead < WINDOW {
            self.mask &= u64::MAX << ahead;
        } else {
            self.base = at;
            self.mask = self.window(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(bytes in prop::collection::vec(prop::sample::select(vec![b',', b'\n', b'a', 0, 0x80, 0xac, b'-']), 0..300), froms in prop::collection::vec(0usize..300, 1..4)) {
            let mut marks = Marks::new(&bytes, b',', b'\n');
            let mut at = 0;
            for from in froms {
                at = from.min(bytes.len()).max(at);
                marks.seek(at);
                for (i, b) in bytes.iter().enumerate().skip(at).take(100) {
                    if matches!(b, b',' | b'\n') {
                        prop_assert_eq!(marks.next(), i);
                        at = i + 1;
                    }
                }
            }
            marks.seek(at);
            let rest = bytes[at..].iter().filter(|b| matches!(b, b',' | b'\n')).count();
            for _ in 0..rest {
                prop_assert!(marks.next() < bytes.len());
            }
            prop_assert_eq!(marks.next(), bytes.len());
        }
    }
}
