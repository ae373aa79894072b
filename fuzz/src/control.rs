//! Requests to PID 1, and the answer to one that it refuses.

use control::{MAX_REQUEST_BYTES, Request, outcome, refusal};
use services::service_file::is_name;

pub(crate) const WORDS: &[&str] = &[
    "status", "start ", "stop ", "restart ", "load ", "poweroff", "reboot", "halt", "cancel",
    "rescue", " ", "31536000", "0", "-", "web-1", "ok\n", "no ",
];

/// - What is understood is short, printable, and written back the same request.
/// - The name in it is safe as a word, as a file and as a cgroup.
/// - A refusal is one line whatever its reason holds, and the client reads it back.
pub fn control(data: &[u8]) {
    if let Ok(request) = Request::parse(data) {
        assert!(data.len() <= MAX_REQUEST_BYTES);
        assert!(data.iter().all(|b| (b' '..=b'~').contains(b)));
        let text = request.to_string();
        assert!(text.len() <= data.len());
        assert_eq!(Request::parse(text.as_bytes()), Ok(request.clone()));
        named(&request);
    }
    let text = String::from_utf8_lossy(data);
    let refusal = refusal(&text);
    let line = refusal.strip_suffix('\n');
    assert!(line.is_some_and(crate::input::one_line), "{refusal:?}");
    let why = outcome(&refusal).expect_err("it is a refusal");
    assert_eq!(why.chars().count(), text.chars().count());
    if let Ok(rest) = outcome(&text) {
        assert!(text.starts_with("ok") && text.ends_with(rest));
    }
}

fn named(request: &Request) {
    if let Request::Start(name)
    | Request::Stop(name)
    | Request::Restart(name)
    | Request::Load(name) = request
    {
        let name = name.as_str();
        // As a file's, but for the capitals of a terminal's name.
        assert!(is_name(&name.to_ascii_lowercase()), "{name:?}");
        assert!(!name.starts_with(|c: char| c.is_ascii_uppercase()));
    }
}
