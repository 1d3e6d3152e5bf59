//! Many small values with numbers, in pieces of equal size: growing moves nothing, so no insertion takes long and no
//! memory is set aside for what may never come.

/// Places of one piece.
const PIECE: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pieces: Vec<Vec<Option<T>>>,
    unused: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            unused: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    /// Values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Places: every number is below this.
    pub(crate) fn places(&self) -> usize {
        self.pieces.len().saturating_mul(PIECE)
    }

    /// Puts a value somewhere; its number. `None`, and the value is gone, beyond 2^32.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if self.unused.is_empty() {
            self.grow()?;
        }
        let number = self.unused.pop()?;
        *self.place(number)? = Some(value);
        self.len = self.len.saturating_add(1);
        Some(number)
    }

    fn grow(&mut self) -> Option<()> {
        let first = u32::try_from(self.places()).ok()?;
        let last = first.checked_add(u32::try_from(PIECE).ok()?)?;
        self.pieces.push((0..PIECE).map(|_| None).collect());
        // The lowest number is given first.
        self.unused.extend((first..last).rev());
        Some(())
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = usize::try_from(number).ok()?;
        self.pieces.get(number / PIECE)?.get(number % PIECE)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.place(number)?.take()?;
        self.unused.push(number);
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        let number = usize::try_from(number).ok()?;
        self.pieces.get_mut(number / PIECE)?.get_mut(number % PIECE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_again_and_lead_to_their_values() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..3_000u32).map(|n| slab.insert(n).unwrap()).collect();
        assert!(numbers.iter().zip(0..).all(|(n, v)| slab.get(*n) == Some(&v)));
        for number in numbers.iter().step_by(2) {
            assert!(slab.remove(*number).is_some());
            assert_eq!(slab.remove(*number), None);
        }
        assert_eq!((slab.len(), slab.places()), (1_500, 3_072));
        for value in 0..1_500 {
            slab.insert(value);
        }
        assert_eq!((slab.len(), slab.places()), (3_000, 3_072));
        assert_eq!(slab.get(u32::MAX), None);
        assert_eq!(slab.remove(5_000), None);
    }
}
