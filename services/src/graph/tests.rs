// SPDX-License-Identifier: Apache-2.0
//! Tests of dependency sets and cycles.

use super::*;

fn definition(name: &'static str, needs: &'static [&'static str]) -> ServiceDef {
    ServiceDef {
        name,
        needs,
        ..ServiceDef::DEFAULT
    }
}

fn with<T>(definitions: &[ServiceDef], ask: impl Fn(&[&ServiceDef]) -> T) -> T {
    ask(&definitions.iter().collect::<Vec<_>>())
}

fn set(members: &[usize]) -> Set {
    let mut set = Set::default();
    members.iter().for_each(|n| set.insert(*n));
    set
}

/// Names of the services that need themselves.
fn cycles(definitions: &[&ServiceDef]) -> Vec<&'static str> {
    let needs = needs(definitions);
    let services = definitions.iter().zip(needs).enumerate();
    let on_cycle = services.filter(|(n, (_, needs))| needs.contains(*n));
    on_cycle.map(|(_, (def, _))| def.name).collect()
}

#[test]
fn needs_are_direct_and_indirect() {
    let definitions = [
        definition("c", &["b", "nobody"]),
        definition("x", &[]),
        definition("b", &["a"]),
        definition("a", &[]),
    ];
    assert_eq!(with(&definitions, cycles), [""; 0]);
    let right = [&[2, 3][..], &[], &[3], &[]].map(set);
    assert_eq!(with(&definitions, needs), right);
}

#[test]
fn cycles_are_named_and_not_those_who_need_them() {
    let definitions = [
        definition("self", &["self"]),
        definition("a", &["b"]),
        definition("b", &["c"]),
        definition("c", &["a"]),
        definition("user", &["a"]),
        definition("free", &[]),
    ];
    assert_eq!(with(&definitions, cycles), ["self", "a", "b", "c"]);
}

#[test]
fn a_long_chain_and_a_full_table_of_cycles_are_done() {
    let names: Vec<&'static str> = (0..MAX_SERVICES)
        .map(|i| &*format!("s{i}").leak())
        .collect();
    let everybody: &'static [&'static str] = names.clone().leak();
    let dense: Vec<ServiceDef> = names.iter().map(|n| definition(n, everybody)).collect();
    assert_eq!(with(&dense, cycles).len(), MAX_SERVICES);
    let chain: Vec<ServiceDef> = (0..MAX_SERVICES)
        .map(|i| definition(names[i], &everybody[i.saturating_sub(1)..i]))
        .rev()
        .collect();
    let all_but_first: Vec<usize> = (1..MAX_SERVICES).collect();
    assert_eq!(with(&chain, needs)[0], set(&all_but_first));
}

#[test]
fn an_id_too_high_is_in_no_set() {
    let members = set(&[0, 63, 64, 255, 256, usize::MAX]);
    let has: Vec<usize> = (0..300).filter(|n| members.contains(*n)).collect();
    assert_eq!(has, [0, 63, 64, 255]);
    assert!(!members.contains(usize::MAX));
}
