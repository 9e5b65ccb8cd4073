//! The two searches. Both ask their test about several candidates at once and take the first in a fixed order.

use rayon::prelude::*;

/// Which of `count` items can go: indexes in order. `test` says whether the failure is still there without some. Large groups are tried
/// first; in the end no single one of those that stay can go.
pub fn most_removed(count: usize, test: &(dyn Fn(&[usize]) -> bool + Sync)) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    let mut size = count;
    while size > 0 && !kept.is_empty() {
        let without = |start: &usize| -> Vec<usize> {
            let group = &kept[*start..(*start + size).min(kept.len())];
            (0..count).filter(|index| !kept.contains(index) || group.contains(index)).collect()
        };
        let starts: Vec<usize> = (0..kept.len()).step_by(size).collect();
        let found = starts.par_iter().map(without).find_first(|dropped| test(dropped));
        match found {
            Some(dropped) => kept.retain(|index| !dropped.contains(index)),
            None => size /= 2,
        }
    }
    (0..count).filter(|index| !kept.contains(index)).collect()
}

/// A small number from `least` on for which the test holds, below `is`, for which it holds: by doubling the distance from `least`, then by
/// bisection. The smallest, if all numbers above one that holds hold.
pub fn least(least: u64, is: u64, test: &(dyn Fn(u64) -> bool + Sync)) -> u64 {
    if is <= least {
        return is;
    }
    let mut candidates = vec![least];
    let mut distance = 1;
    while distance < is - least {
        candidates.push(least + distance);
        distance = distance.saturating_mul(2);
    }
    let found = candidates.par_iter().enumerate().find_first(|(_, candidate)| test(**candidate));
    let (place, mut holds) = found.map_or((candidates.len(), is), |(place, candidate)| (place, *candidate));
    let Some(mut fails) = place.checked_sub(1).map(|before| candidates[before]) else { return holds };
    while holds - fails > 1 {
        let middle = fails.midpoint(holds);
        if test(middle) { holds = middle } else { fails = middle }
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_all_else_goes() {
        for needed in [vec![], vec![0], vec![11], vec![2, 9], vec![0, 1, 2, 3], (0..12).collect::<Vec<usize>>()] {
            let dropped = most_removed(12, &|dropped| needed.iter().all(|index| !dropped.contains(index)));
            let wanted: Vec<usize> = (0..12).filter(|index| !needed.contains(index)).collect();
            assert_eq!(dropped, wanted, "{needed:?}");
        }
    }

    #[test]
    fn one_of_two_that_serve_alike_stays() {
        let dropped = most_removed(6, &|dropped| !(dropped.contains(&1) && dropped.contains(&4)));
        assert_eq!(dropped, [0, 1, 2, 3, 5]);
    }

    #[test]
    fn the_least_number_is_found() {
        for (from, is) in [(1, 1), (1, 2), (1, 100), (0, 7), (3, 600)] {
            for wanted in from..=is {
                assert_eq!(least(from, is, &|value| value >= wanted), wanted, "{from} {is}");
            }
        }
    }
}
