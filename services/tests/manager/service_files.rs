// SPDX-License-Identifier: Apache-2.0
//! Service files that are loaded at run time.

use super::*;
use services::manager::LoadError;
use services::service_file::FileErrors;
use services::supervisor::DefinitionError;

#[test]
fn a_service_file_can_be_loaded_while_another_service_runs() {
    let mut w = World::new(vec![shell("builtin", "exec sleep 100")]);
    let load = |w: &mut World, name: &str, text: &str| w.m.load(name, text.as_bytes(), "", "");
    let text = "exec /bin/sh -c \"echo one; exec sleep 100\"\nneeds builtin\n";
    assert_eq!(load(&mut w, "mine", text), Ok(id(1)));
    w.input(Input::Start(id(1)));
    w.until("up", |w| {
        up(id(0))(w) && up(id(1))(w) && was_logged("mine: one")
    });
    let refused = load(&mut w, "mine", text).unwrap_err();
    let in_use = LoadError::Definition("mine".into(), DefinitionError::InUse);
    assert_eq!(refused, in_use);
    assert!(load(&mut w, "builtin", text).is_err());
    let wrong = load(&mut w, "wrong", "exec x\noom y").unwrap_err();
    assert!(matches!(wrong, LoadError::File(FileErrors(errors)) if errors.len() == 2));
    w.input(Input::Stop(id(1)));
    w.until("stopped", is(id(1), State::Off));
    assert_eq!(load(&mut w, "mine", &text.replace("one", "two")), Ok(id(1)));
    w.input(Input::Start(id(1)));
    w.until("up", |w| up(id(1))(w) && was_logged("mine: two"));
    w.stop_all();
}
