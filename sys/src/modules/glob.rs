// SPDX-License-Identifier: Apache-2.0
//! Patterns of modules.alias.

/// Matches as fnmatch(3) does for modules.alias: `*`, `?`, `[a-z]`. The matcher only backtracks to
/// the last star, so that no modalias makes the match slow.
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match step(pattern.get(p..).unwrap_or(&[]), text[t]) {
            Step::Star => {
                star = Some((p + 1, t));
                p += 1;
            }
            Step::Match(used) => {
                p += used;
                t += 1;
            }
            Step::No => {
                let Some((after, from)) = star else {
                    return false;
                };
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern.get(p..).unwrap_or(&[]).iter().all(|&c| c == b'*')
}

enum Step {
    Star,
    Match(usize),
    No,
}

fn step(pattern: &[u8], c: u8) -> Step {
    match pattern {
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Match(1),
        [b'[', set @ ..] => match set.iter().position(|&b| b == b']') {
            Some(end) if in_set(&set[..end], c) => Step::Match(end + 2),
            _ => Step::No,
        },
        [first, ..] if *first == c => Step::Match(1),
        _ => Step::No,
    }
}

fn in_set(set: &[u8], c: u8) -> bool {
    match set {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&c) || in_set(rest, c),
        [one, rest @ ..] => *one == c || in_set(rest, c),
        [] => false,
    }
}
