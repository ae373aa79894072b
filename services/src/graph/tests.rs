use super::*;

fn row(name: &'static str, needs: &'static [&'static str]) -> ServiceDef {
    ServiceDef {
        name,
        needs,
        ..ServiceDef::DEFAULT
    }
}

fn with<T>(rows: &[ServiceDef], ask: impl Fn(&[&ServiceDef]) -> T) -> T {
    ask(&rows.iter().collect::<Vec<_>>())
}

fn in_order(rows: &[ServiceDef]) -> Vec<usize> {
    with(rows, |r| order(&needs(r)))
}

#[test]
fn what_is_needed_comes_first_and_the_rest_as_written() {
    let rows = [
        row("c", &["b", "nobody"]),
        row("x", &[]),
        row("b", &["a"]),
        row("a", &[]),
    ];
    assert_eq!(in_order(&rows), [1, 3, 2, 0]);
    assert_eq!(with(&rows, cycles), [""; 0]);
    assert_eq!(with(&rows, needs), [0b1100, 0, 0b1000, 0]);
}

#[test]
fn cycles_are_named_and_not_those_who_need_them() {
    let rows = [
        row("self", &["self"]),
        row("a", &["b"]),
        row("b", &["c"]),
        row("c", &["a"]),
        row("user", &["a"]),
        row("free", &[]),
    ];
    assert_eq!(with(&rows, cycles), ["self", "a", "b", "c"]);
    assert_eq!(in_order(&rows), [5, 0, 1, 2, 3, 4]);
}

#[test]
fn a_long_chain_and_a_full_table_of_cycles_are_done() {
    let names: Vec<&'static str> = (0..MOST).map(|i| &*format!("s{i}").leak()).collect();
    let everybody: &'static [&'static str] = names.clone().leak();
    let dense: Vec<ServiceDef> = names.iter().map(|n| row(n, everybody)).collect();
    assert_eq!(with(&dense, cycles).len(), MOST);
    let chain: Vec<ServiceDef> = (0..MOST)
        .map(|i| row(names[i], &everybody[i.saturating_sub(1)..i]))
        .rev()
        .collect();
    let expected: Vec<usize> = (0..MOST).rev().collect();
    assert_eq!(in_order(&chain), expected);
    assert_eq!(with(&chain, needs)[0], Set::MAX - 1);
}

#[test]
fn an_id_too_high_is_in_no_set() {
    assert_eq!((only(0), only(127)), (1, 1 << 127));
    assert_eq!((only(128), only(usize::MAX)), (0, 0));
}
