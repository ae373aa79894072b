//! Certificate authorities that join those of the image: pure, over the text of the
//! bundle that programs read (/etc/ssl/certs/ca-certificates.crt).

/// A PEM certificate's first line, and its last.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates in a text, each with its two lines and a newline; what stands between
/// them is a comment. `None` where one is not whole.
#[must_use]
pub fn certificates(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        match (&mut open, line) {
            (None, BEGIN) => open = Some(format!("{BEGIN}\n")),
            (None, _) => {}
            (Some(body), END) if body.len() > BEGIN.len() + 1 => {
                all.push(format!("{body}{END}\n"));
                open = None;
            }
            (Some(body), _) if is_base64(line) => {
                body.push_str(line);
                body.push('\n');
            }
            _ => return None,
        }
    }
    (open.is_none() && !all.is_empty()).then_some(all)
}

fn is_base64(line: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    !line.is_empty() && line.bytes().all(letter)
}

/// The bundle with these certificates, each once: adding them again changes nothing.
#[must_use]
pub fn bundle(bundle: &str, more: &[String]) -> String {
    let mut text = bundle.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for pem in more {
        if !text.contains(pem.as_str()) {
            text.push_str(pem);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn whole_ones_and_no_others() {
        let text = format!(
            "# mine\n{}\nsubject\n  {}",
            pem("QUJD"),
            pem("REVG").replace('\n', "\r\n  ")
        );
        assert_eq!(certificates(&text).unwrap(), [pem("QUJD"), pem("REVG")]);
        for wrong in [
            "",
            "hello",
            BEGIN,
            &pem(""),
            &pem("a b"),
            &format!("{BEGIN}\n{}", pem("QUJD")),
        ] {
            assert_eq!(certificates(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_is_there_once() {
        let (a, b) = (pem("QUJD"), pem("REVG"));
        let once = bundle(a.trim_end(), &[b.clone(), a.clone()]);
        assert_eq!(once, format!("{a}{b}"));
        assert_eq!(bundle(&once, &[a, b]), once);
    }
}
