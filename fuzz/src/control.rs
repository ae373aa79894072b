// SPDX-License-Identifier: Apache-2.0
//! Target `control`: requests to PID 1, and the answer that refuses one.

use control::{MAX_REQUEST_BYTES, Request, outcome, refusal};
use services::service_file::is_name;

pub(crate) const DICTIONARY: &[&str] = &[
    "status", "follow", "start ", "stop ", "restart ", "load ", "poweroff", "reboot", "halt",
    "cancel", "rescue", " ", "31536000", "0", "-", "web-1", "ok\n", "no ",
];

/// - A valid request is short and printable, and its text is read as the same request.
/// - A name in a request is safe as an argument, as a file name and as the name of a cgroup.
/// - A refusal is one line with any reason, and clients read the line back.
pub fn control(data: &[u8]) {
    if let Ok(request) = Request::parse(data) {
        assert!(data.len() <= MAX_REQUEST_BYTES);
        assert!(data.iter().all(|b| (b' '..=b'~').contains(b)));
        let text = request.to_string();
        assert!(text.len() <= data.len());
        assert_eq!(Request::parse(text.as_bytes()), Ok(request.clone()));
        check_name(&request);
    }
    let text = String::from_utf8_lossy(data);
    let refusal = refusal(&text);
    let line = refusal.strip_suffix('\n');
    assert!(line.is_some_and(crate::input::is_one_line), "{refusal:?}");
    let why = outcome(&refusal).expect_err("it is a refusal");
    assert_eq!(why.chars().count(), text.chars().count());
    if let Ok(rest) = outcome(&text) {
        assert!(text.starts_with("ok") && text.ends_with(rest));
    }
}

fn check_name(request: &Request) {
    if let Request::Start(name)
    | Request::Stop(name)
    | Request::Restart(name)
    | Request::Reset(name)
    | Request::Load(name)
    | Request::Unload(name) = request
    {
        let name = name.as_str();
        // Names of services may also have the upper case of a terminal.
        assert!(is_name(&name.to_ascii_lowercase()), "{name:?}");
        assert!(!name.starts_with(|c: char| c.is_ascii_uppercase()));
    }
}
