// SPDX-License-Identifier: Apache-2.0
//! Messages of D-Bus (D-Bus Specification, "Message Protocol"), as far as a manager of units needs them: calls
//! whose arguments are strings, and replies, errors and signals of strings, paths and numbers.

/// Longest message, in bytes. A call names a unit.
const MAX_BYTES: usize = 64 * 1024;
/// Length in bytes of the header before its fields. This part ends with the length of the fields.
const FIXED_BYTES: usize = 16;
/// Type of a message: a method call.
const CALL: u8 = 1;
/// Flag of a call whose sender expects no reply.
const NO_REPLY: u8 = 1;

/// Codes of header fields.
mod field {
    pub const PATH: u8 = 1;
    pub const INTERFACE: u8 = 2;
    pub const MEMBER: u8 = 3;
    pub const ERROR_NAME: u8 = 4;
    pub const REPLY_SERIAL: u8 = 5;
    pub const SIGNATURE: u8 = 8;
}

/// Error: the bytes are no message of D-Bus, or a message that this program does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Method call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Number by which a reply refers to the call.
    pub serial: u32,
    /// True if the sender expects a reply.
    pub expects_reply: bool,
    /// Interface; empty if the call names none.
    pub interface: String,
    /// Method.
    pub member: String,
    /// Arguments, if all of them are strings; else none.
    pub arguments: Vec<String>,
}

/// Argument of a message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// Unsigned number, `u`.
    Number(u32),
    /// Path of an object, `o`.
    Path(&'a str),
    /// String, `s`.
    Text(&'a str),
}

/// Reader of a message's bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big_endian: bool,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(n).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.align(4);
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(match self.is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    /// Reads a text and its final NUL.
    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)?;
        match self.byte()? {
            0 => Ok(text),
            _ => Err(Malformed),
        }
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.number()? as usize;
        self.text(length)
    }

    fn signature(&mut self) -> Result<&'a str, Malformed> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }
}

/// Reads the first message in `bytes`. Returns a call, or none for another kind of message, and the
/// length; `None` if more bytes are needed.
///
/// # Errors
/// The bytes are no message, or the message is longer than [`MAX_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Option<Call>, usize)>, Malformed> {
    let Some(fixed) = bytes.get(..FIXED_BYTES) else {
        return Ok(None);
    };
    let is_big_endian = match fixed.first() {
        Some(b'l') => false,
        Some(b'B') => true,
        _ => return Err(Malformed),
    };
    let reader = |bytes, at| Reader {
        bytes,
        at,
        is_big_endian,
    };
    let mut header = reader(fixed, 4);
    let body = header.number()? as usize;
    let serial = header.number()?;
    let fields = header.number()? as usize;
    if body > MAX_BYTES || fields > MAX_BYTES {
        return Err(Malformed);
    }
    let begin = (FIXED_BYTES + fields).next_multiple_of(8);
    let Some(whole) = bytes.get(..begin + body) else {
        return Ok(None);
    };
    let &[_, kind, flags, ..] = whole else {
        return Err(Malformed);
    };
    let (mut call, signature) = read_fields(whole, FIXED_BYTES + fields, is_big_endian)?;
    call.serial = serial;
    call.expects_reply = flags & NO_REPLY == 0;
    if signature.bytes().all(|b| b == b's') {
        let mut reader = reader(whole, begin);
        for _ in signature.bytes() {
            call.arguments.push(reader.string()?.to_owned());
        }
    }
    Ok(Some(((kind == CALL).then_some(call), whole.len())))
}

/// Reads the fields of a header, which end at `end`: the call that they name, and the signature of its body.
fn read_fields(bytes: &[u8], end: usize, is_big_endian: bool) -> Result<(Call, &str), Malformed> {
    let mut reader = Reader {
        bytes: bytes.get(..end).ok_or(Malformed)?,
        at: FIXED_BYTES,
        is_big_endian,
    };
    let (mut call, mut body) = (Call::default(), "");
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let value = match reader.signature()? {
            "s" | "o" => reader.string()?,
            "g" => reader.signature()?,
            "u" => {
                reader.number()?;
                continue;
            }
            _ => return Err(Malformed),
        };
        match code {
            field::INTERFACE => value.clone_into(&mut call.interface),
            field::MEMBER => value.clone_into(&mut call.member),
            field::SIGNATURE => body = value,
            _ => {}
        }
    }
    Ok((call, body))
}

/// Writer of a message, little-endian.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(0));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(0));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn argument(&mut self, argument: Argument<'_>) {
        match argument {
            Argument::Number(number) => self.number(number),
            Argument::Path(text) | Argument::Text(text) => self.string(text),
        }
    }
}

fn letter(argument: &Argument<'_>) -> char {
    match argument {
        Argument::Number(_) => 'u',
        Argument::Path(_) => 'o',
        Argument::Text(_) => 's',
    }
}

fn write(kind: u8, fields: &[(u8, Argument<'_>)], body: &[Argument<'_>]) -> Vec<u8> {
    let mut arguments = Writer::default();
    body.iter().for_each(|a| arguments.argument(*a));
    let signature: String = body.iter().map(letter).collect();
    let mut list = Writer::default();
    for (code, value) in fields {
        list.align(8);
        list.0.push(*code);
        list.signature(&letter(value).to_string());
        list.argument(*value);
    }
    if !signature.is_empty() {
        list.align(8);
        list.0.push(field::SIGNATURE);
        list.signature("g");
        list.signature(&signature);
    }
    // The serial is any number but 0, since no message refers to it.
    let mut message = Writer(vec![b'l', kind, NO_REPLY, 1]);
    message.number(u32::try_from(arguments.0.len()).unwrap_or(0));
    message.number(1);
    message.number(u32::try_from(list.0.len()).unwrap_or(0));
    message.0.extend(list.0);
    message.align(8);
    message.0.extend(arguments.0);
    message.0
}

/// Writes the reply to the call with this serial.
#[must_use]
pub fn reply(serial: u32, body: &[Argument<'_>]) -> Vec<u8> {
    write(2, &[(field::REPLY_SERIAL, Argument::Number(serial))], body)
}

/// Writes an error as the reply to the call with this serial.
#[must_use]
pub fn error(serial: u32, name: &str, why: &str) -> Vec<u8> {
    let fields = [
        (field::ERROR_NAME, Argument::Text(name)),
        (field::REPLY_SERIAL, Argument::Number(serial)),
    ];
    write(3, &fields, &[Argument::Text(why)])
}

/// Writes a signal of an object.
#[must_use]
pub fn signal(path: &str, interface: &str, member: &str, body: &[Argument<'_>]) -> Vec<u8> {
    let fields = [
        (field::PATH, Argument::Path(path)),
        (field::INTERFACE, Argument::Text(interface)),
        (field::MEMBER, Argument::Text(member)),
    ];
    write(4, &fields, body)
}

#[cfg(test)]
#[path = "message/tests.rs"]
mod tests;
