//! A sort that leaves equal elements where kubectl's leaves them.
//!
//! kubectl sorts by `--sort-by`, and events of a page by time, with Go's `sort.Sort`, which is not stable: where keys are equal, as the
//! whole seconds of time stamps often are, the order that is seen is the algorithm's. It is pattern-defeating quicksort (Peters,
//! arXiv 2106.05123) with Go's limits: insertion sort up to 12 elements, median of medians from 50, heap sort after log2 n bad pivots.
//! Up to 12 elements it is stable.

/// Sorts by `less`.
pub fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - items.len().leading_zeros();
    let length = items.len();
    Sorter { items, less }.quick(0, length, limit);
}

/// What the sampled elements say of the order at hand.
#[derive(PartialEq)]
enum Hint {
    Rising,
    Falling,
    None,
}

struct Sorter<'a, T, L> {
    items: &'a mut [T],
    less: L,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, left: usize, right: usize) -> bool {
        (self.less)(&self.items[left], &self.items[right])
    }

    /// Sorts `from..to`.
    fn quick(&mut self, mut from: usize, mut to: usize, mut limit: u32) {
        const SHORT: usize = 12;
        let (mut balanced, mut partitioned) = (true, true);
        while to - from > SHORT {
            if limit == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.scatter(from, to);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.pivot(from, to);
            if hint == Hint::Falling {
                self.items[from..to].reverse();
                pivot = to - 1 - (pivot - from);
                hint = Hint::Rising;
            }
            if balanced && partitioned && hint == Hint::Rising && self.nearly_sorted(from, to) {
                return;
            }
            // The pivot equals what stands left of the range: all that equals it is in place after one pass.
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.split_equal(from, to, pivot);
                continue;
            }
            let (middle, was) = self.split(from, to, pivot);
            partitioned = was;
            let (left, right) = (middle - from, to - middle);
            let enough = (to - from) / 8;
            if left < right {
                balanced = left >= enough;
                self.quick(from, middle, limit);
                from = middle + 1;
            } else {
                balanced = right >= enough;
                self.quick(middle + 1, to, limit);
                to = middle;
            }
        }
        self.insertion(from, to);
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for next in from + 1..to {
            let mut at = next;
            while at > from && self.less(at, at - 1) {
                self.items.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    /// Mends up to five places that are out of order. True if all is sorted then.
    fn nearly_sorted(&mut self, from: usize, to: usize) -> bool {
        const PLACES: usize = 5;
        const WORTH_SHIFTING: usize = 50;
        let mut at = from + 1;
        for _ in 0..PLACES {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < WORTH_SHIFTING {
                return false;
            }
            self.items.swap(at, at - 1);
            if at - from >= 2 {
                let mut down = at - 1;
                while down >= 1 && self.less(down, down - 1) {
                    self.items.swap(down, down - 1);
                    down -= 1;
                }
            }
            let mut up = at + 1;
            while to - at >= 2 && up < to && self.less(up, up - 1) {
                self.items.swap(up, up - 1);
                up += 1;
            }
        }
        false
    }

    /// What is less than the pivot goes before it. Where the pivot ends up, and whether nothing had to move.
    fn split(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(from, pivot);
        let (mut left, mut right, mut untouched) = (from + 1, to - 1, true);
        loop {
            while left <= right && self.less(left, from) {
                left += 1;
            }
            while left <= right && !self.less(right, from) {
                right -= 1;
            }
            if left > right {
                break;
            }
            self.items.swap(left, right);
            left += 1;
            right -= 1;
            untouched = false;
        }
        self.items.swap(right, from);
        (right, untouched)
    }

    /// What equals the pivot goes first, what is greater after it. Where the greater begin.
    fn split_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.items.swap(from, pivot);
        let (mut left, mut right) = (from + 1, to - 1);
        loop {
            while left <= right && !self.less(from, left) {
                left += 1;
            }
            while left <= right && self.less(from, right) {
                right -= 1;
            }
            if left > right {
                return left;
            }
            self.items.swap(left, right);
            left += 1;
            right -= 1;
        }
    }

    /// Swaps three elements in the middle with others, so that a pattern does not make every pivot a bad one. The numbers are always
    /// the same for a length.
    fn scatter(&mut self, from: usize, to: usize) {
        let length = to - from;
        let mask = (1u64 << (u64::BITS - (length as u64).leading_zeros())) - 1;
        let mut random = length as u64;
        let middle = from + length / 4 * 2 - 1;
        for place in middle - 1..middle + 2 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = (random & mask) as usize;
            let other = if other >= length { other - length } else { other };
            self.items.swap(place, from + other);
        }
    }

    fn pivot(&self, from: usize, to: usize) -> (usize, Hint) {
        const MANY: usize = 50;
        const ALL_SWAPPED: usize = 12;
        let length = to - from;
        let quarter = length / 4;
        let mut three = [from + quarter, from + quarter * 2, from + quarter * 3];
        let mut swaps = 0;
        if length >= MANY {
            for place in &mut three {
                *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
            }
        }
        let middle = self.median(three, &mut swaps);
        let hint = match swaps {
            0 => Hint::Rising,
            ALL_SWAPPED => Hint::Falling,
            _ => Hint::None,
        };
        (middle, hint)
    }

    fn median(&self, mut places: [usize; 3], swaps: &mut usize) -> usize {
        for (left, right) in [(0, 1), (1, 2), (0, 1)] {
            if self.less(places[right], places[left]) {
                *swaps += 1;
                places.swap(left, right);
            }
        }
        places[1]
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..=(length - 1) / 2).rev() {
            self.sink(root, length, from);
        }
        for end in (0..length).rev() {
            self.items.swap(from, from + end);
            self.sink(0, end, from);
        }
    }

    fn sink(&mut self, mut root: usize, end: usize, from: usize) {
        while 2 * root + 1 < end {
            let mut child = 2 * root + 1;
            if child + 1 < end && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.items.swap(from + root, from + child);
            root = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn everything_is_sorted_whatever_its_order_was() {
        for length in [0usize, 1, 2, 12, 13, 49, 50, 51, 200, 1000] {
            let orders: [Box<dyn Fn(usize) -> usize>; 6] = [
                Box::new(|at| at),
                Box::new(|at| 2000 - at),
                Box::new(|at| at * 7919 % 1009),
                Box::new(|at| at % 3),
                Box::new(|_| 1),
                Box::new(|at| if at % 2 == 0 { at } else { 1000 - at }),
            ];
            for order in orders {
                let mut items: Vec<usize> = (0..length).map(&order).collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort(&mut items, |left, right| left < right);
                assert_eq!(items, expected);
            }
        }
    }

    #[test]
    fn a_dozen_keep_the_order_of_equal_ones() {
        let mut items: Vec<(usize, usize)> = (0..12).map(|at| (at % 3, at)).collect();
        sort(&mut items, |left, right| left.0 < right.0);
        assert!(items.is_sorted());
    }
}
