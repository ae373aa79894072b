// SPDX-License-Identifier: Apache-2.0
//! Properties of an account that a disk or a host asks for, in the targets `cloud` and `ignition`.

use b2p::helpers::cloud::user::User;

/// Names are names, and no value breaks a line of passwd(5), sudoers(5) or authorized_keys
/// (sshd(8)).
///
/// # Panics
/// A property does not hold.
pub fn check(user: &User) {
    let account = &user.account;
    assert!(
        config::is_user_name(&account.name)
            && account.groups.iter().all(|g| config::is_user_name(g))
    );
    let fields = [
        Some(&account.gecos),
        account.home.as_ref(),
        account.shell.as_ref(),
    ];
    let mut fields = fields.into_iter().flatten();
    assert!(fields.all(|f| !f.contains([':', '\n'])), "{user:?}");
    assert!(user.sudo.iter().all(|r| !r.contains('\n')), "{user:?}");
    assert!(user.keys.iter().all(|k| k.lines().count() == 1), "{user:?}");
}
