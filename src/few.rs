//! A queue that mostly holds few: those need no memory of their own.

use std::collections::VecDeque;

/// First in, first out, with room for `N` of its own. Its bound is its owner's.
#[derive(Debug)]
pub struct Few<T, const N: usize = 1> {
    /// Those from `first` to `end` are there.
    slots: [Option<T>; N],
    first: u8,
    end: u8,
    /// Behind those of the slots.
    rest: VecDeque<T>,
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        const { assert!(N <= u8::MAX as usize, "the slots are counted in bytes") }
        Self {
            slots: [const { None }; N],
            first: 0,
            end: 0,
            rest: VecDeque::new(),
        }
    }
}

impl<T, const N: usize> Few<T, N> {
    /// Whether there is nothing in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first == self.end && self.rest.is_empty()
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.end - self.first) + self.rest.len()
    }

    /// Puts one behind the others.
    #[inline]
    pub fn push_back(&mut self, item: T) {
        if self.rest.is_empty()
            && let Some(slot) = self.slots.get_mut(usize::from(self.end))
        {
            *slot = Some(item);
            self.end += 1;
        } else {
            self.rest.push_back(item);
        }
    }

    /// Takes the first out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.first == self.end {
            return self.rest.pop_front();
        }
        let slot = self.slots.get_mut(usize::from(self.first))?;
        self.first += 1;
        if self.first == self.end {
            self.first = 0;
            self.end = 0;
        }
        slot.take()
    }

    /// The first.
    #[inline]
    pub fn front(&self) -> Option<&T> {
        if self.first == self.end {
            return self.rest.front();
        }
        self.slots.get(usize::from(self.first))?.as_ref()
    }

    /// The first, to be changed.
    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut T> {
        if self.first == self.end {
            return self.rest.front_mut();
        }
        self.slots.get_mut(usize::from(self.first))?.as_mut()
    }

    /// The last.
    #[inline]
    pub fn back(&self) -> Option<&T> {
        self.rest.back().or_else(|| self.own().last()?.as_ref())
    }

    /// The last, to be changed.
    #[inline]
    pub fn back_mut(&mut self) -> Option<&mut T> {
        if let Some(last) = self.rest.back_mut() {
            return Some(last);
        }
        let own = usize::from(self.first)..usize::from(self.end);
        self.slots.get_mut(own)?.last_mut()?.as_mut()
    }

    fn own(&self) -> &[Option<T>] {
        let own = usize::from(self.first)..usize::from(self.end);
        self.slots.get(own).unwrap_or_default()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.own().iter().flatten().chain(&self.rest)
    }

    /// All, to be changed, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let own = usize::from(self.first)..usize::from(self.end);
        let own = self.slots.get_mut(own).unwrap_or_default();
        own.iter_mut().flatten().chain(&mut self.rest)
    }

    /// Lets those go that are not to be kept; asks in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        // Once around.
        for _ in 0..self.len() {
            if let Some(item) = self.pop_front()
                && keep(&item)
            {
                self.push_back(item);
            }
        }
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.first = 0;
        self.end = 0;
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_goes_first() {
        first_in_first_out(Few::<_, 1>::default());
        first_in_first_out(Few::<_, 2>::default());
        first_in_first_out(Few::<_, 5>::default());
    }

    #[test]
    fn what_is_not_kept_goes_and_the_others_keep_their_order() {
        for begun in 0..3 {
            let mut few = Few::<_, 3>::default();
            (0..begun).for_each(|item| few.push_back(item));
            (0..begun).for_each(|item| assert_eq!(few.pop_front(), Some(item)));
            (1..=9).for_each(|item| few.push_back(item));
            assert_eq!((few.len(), few.back()), (9, Some(&9)));
            few.retain(|item| item % 3 != 0);
            assert!(few.iter().copied().eq([1, 2, 4, 5, 7, 8]));
            assert_eq!(
                (few.len(), few.front(), few.back()),
                (6, Some(&1), Some(&8))
            );
        }
    }

    fn first_in_first_out<const N: usize>(mut few: Few<i32, N>) {
        assert!(few.is_empty() && few.pop_front().is_none() && few.back_mut().is_none());
        for round in 0..3 {
            for item in [1, 2, 3] {
                few.push_back(item);
                assert_eq!(few.back_mut(), Some(&mut { item }));
            }
            assert_eq!(few.front(), Some(&1));
            assert_eq!(few.front_mut(), Some(&mut 1));
            few.iter_mut().for_each(|item| *item += round);
            assert!(few.iter().copied().eq([1 + round, 2 + round, 3 + round]));
            assert_eq!(few.pop_front(), Some(1 + round));
            assert_eq!(few.pop_front(), Some(2 + round));
            few.push_back(4);
            assert_eq!(few.pop_front(), Some(3 + round));
            assert_eq!(few.pop_front(), Some(4));
            assert!(few.is_empty());
        }
        few.push_back(1);
        few.push_back(2);
        few.clear();
        assert!(few.is_empty() && few.pop_front().is_none());
    }
}
