//! Shapes of texts that come again and again, as those of drivers that send values apart do.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Shape, Shaper, hint};

/// Texts that are remembered: an application has some hundred. With [`TEXT_BYTES_MAX`] a thread that
/// serves clients keeps less than a megabyte, and mostly a tenth of it.
const PLACES: usize = 256;

/// Longer texts are not remembered; few are, and they cost more elsewhere.
const TEXT_BYTES_MAX: usize = 1024;

/// Takes texts to their shapes, and remembers those that came twice.
#[derive(Debug, Default)]
pub struct Memo {
    shaper: Shaper,
    hasher: RandomState,
    /// None before the first text.
    places: Vec<Place>,
}

/// Where texts of some hashes are remembered.
#[derive(Debug, Default)]
struct Place {
    /// Of the last text that was not found here. When it comes once more it is remembered, so texts that
    /// come once drive nobody out.
    last: u64,
    kept: Option<Kept>,
}

/// A [`Shape`], but for the hint.
#[derive(Debug)]
struct Kept {
    whole: Box<[u8]>,
    shape: Box<[u8]>,
    text: Box<[u8]>,
    statements: u8,
    moment: bool,
    broken: bool,
}

impl Memo {
    /// The shape of `text` under `standard_conforming_strings`.
    pub fn read<'a>(&'a mut self, text: &'a [u8]) -> Shape<'a> {
        if text.len() > TEXT_BYTES_MAX {
            return self.shaper.read(text, true);
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Place::default);
        }
        let hash = self.hasher.hash_one(text);
        let home = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        // Among some hundred texts, two of one home are common, three of two neighbours are not.
        for at in [home, home ^ 1] {
            if self.places.get(at).is_some_and(|place| place.keeps(text)) {
                let kept = self.places.get(at).and_then(|place| place.kept.as_ref());
                return kept.map_or_else(|| self.shaper.read(text, true), |kept| kept.give(text));
            }
        }
        let shape = self.shaper.read(text, true);
        let last = self.places.get_mut(home).map(|place| &mut place.last);
        if last.is_some_and(|last| std::mem::replace(last, hash) == hash) {
            let full = |at: usize| {
                self.places
                    .get(at)
                    .is_some_and(|place| place.kept.is_some())
            };
            let at = if full(home) && !full(home ^ 1) {
                home ^ 1
            } else {
                home
            };
            if let Some(place) = self.places.get_mut(at) {
                place.kept = Some(Kept::new(text, &shape));
            }
        }
        shape
    }
}

impl Place {
    fn keeps(&self, text: &[u8]) -> bool {
        self.kept.as_ref().is_some_and(|kept| *kept.whole == *text)
    }
}

impl Kept {
    fn new(whole: &[u8], shape: &Shape<'_>) -> Self {
        Self {
            whole: whole.into(),
            shape: shape.shape.into(),
            text: shape.text.into(),
            statements: shape.statements,
            moment: shape.moment,
            broken: shape.broken,
        }
    }

    fn give<'a>(&'a self, whole: &'a [u8]) -> Shape<'a> {
        Shape {
            shape: &self.shape,
            text: &self.text,
            statements: self.statements,
            moment: self.moment,
            hint: hint(whole),
            broken: self.broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_is_read() {
        let mut memo = Memo::default();
        let mut shaper = Shaper::default();
        let long = [b"select '", [b'x'; TEXT_BYTES_MAX].as_slice(), b"'"].concat();
        let texts: [&[u8]; 7] = [
            b"select 1",
            b" /* pgweir: nocache */ SELECT a FROM t WHERE b = 'now' ; ",
            b"select a /* inside */ , 'x' from t; select 2",
            b"select 'open",
            b"",
            b"select \xff",
            &long,
        ];
        for round in 0..4 {
            for text in texts {
                let found = format!("{:?}", memo.read(text));
                assert_eq!(found, format!("{:?}", shaper.read(text, true)), "{round}");
            }
        }
        let kept = |memo: &Memo| memo.places.iter().filter(|p| p.kept.is_some()).count();
        let all = kept(&memo);
        assert!((1..texts.len()).contains(&all), "{all}");
        // Texts that come once drive nobody out.
        for number in 0..10 * PLACES {
            memo.read(format!("select {number}").as_bytes());
        }
        assert_eq!(kept(&memo), all);
    }
}
