//! A queue that mostly holds one: that one needs no memory of its own.

use std::collections::VecDeque;

/// First in, first out. Its bound is its owner's.
#[derive(Debug)]
pub struct Few<T> {
    first: Option<T>,
    /// Empty when there is no first.
    rest: VecDeque<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Few<T> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts one behind the others.
    pub fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    /// Takes the first out.
    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.first.take()?;
        self.first = self.rest.pop_front();
        Some(item)
    }

    /// The first.
    pub fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// The first, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    /// The last, to be changed.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    /// All, to be changed, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_goes_first() {
        let mut few = Few::default();
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
