// SPDX-License-Identifier: Apache-2.0
//! A guest of 1.5 kB: it writes the ready line, and powers off when its power button is pressed. A
//! machine starts within a second with it, and its podman API is a program of the host.

use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

/// Behaviour of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Guest that is ready at once, and powers off when asked to.
    Usual,
    /// Guest like the usual one, with an image of its own.
    Other,
    /// Guest that is ready at once, and never sees its power button.
    Deaf,
    /// Guest like the usual one, whose data are in RAM.
    Ram,
    /// Guest that is never ready.
    Silent,
    /// Guest that is ready at once, and restarts at a byte from its console; it never sees its power button.
    Rebooter,
    /// Guest like the usual one, which writes to its disk, 64 KiB further each time, and a dot to its console.
    Writer,
}

/// Line that says that the machine is ready.
const READY: &[u8] = b"boot2podman: ready ssh=10.0.2.15:22 api=/run/podman/podman.sock \
                       data=/dev/vda init=1 boot=1\n\0";
/// Length of the file: a boot sector, a sector of setup code and one of "kernel".
const LEN: usize = 0x600;
/// Place of the code: behind the header of the boot protocol (Documentation/arch/x86/boot.rst).
const CODE_AT: usize = 0x240;
/// Place of the text: the code finds it at 0x100 of its segment, which begins at 0x200.
const TEXT_AT: usize = 0x300;
/// Place of the byte that enables the power button's event, the high byte of `mov $0x100,%ax`.
const BUTTON_AT: usize = CODE_AT + 0x24;

/// Code in real mode.
#[rustfmt::skip]
const CODE: [u8; 0x3a] = [
    0x8c, 0xc8,             //     mov %cs,%ax
    0x8e, 0xd8,             //     mov %ax,%ds
    0xbe, 0x00, 0x01,       //     mov $0x100,%si
    0xfc,                   //     cld
    0xac,                   // 1:  lodsb
    0x84, 0xc0,             //     test %al,%al
    0x74, 0x12,             //     jz 2f
    0x88, 0xc4,             //     mov %al,%ah
    0xba, 0xfd, 0x03,       //     mov $0x3fd,%dx       line status of the first serial port
    0xec,                   // 3:  in (%dx),%al
    0xa8, 0x20,             //     test $0x20,%al
    0x74, 0xfb,             //     jz 3b
    0xba, 0xf8, 0x03,       //     mov $0x3f8,%dx
    0x88, 0xe0,             //     mov %ah,%al
    0xee,                   //     out %al,(%dx)
    0xeb, 0xe9,             //     jmp 1b
    0xba, 0x02, 0x06,       // 2:  mov $0x602,%dx       PM1 enable (ICH9 as SeaBIOS sets it)
    0xb8, 0x00, 0x01,       //     mov $0x100,%ax       the power button
    0xef,                   //     out %ax,(%dx)
    0xfb,                   //     sti
    0xf4,                   // 4:  hlt                  until the timer's next tick
    0xba, 0x00, 0x06,       //     mov $0x600,%dx       PM1 status
    0xed,                   //     in (%dx),%ax
    0xf6, 0xc4, 0x01,       //     test $1,%ah
    0x74, 0xf6,             //     jz 4b
    0xba, 0x04, 0x06,       //     mov $0x604,%dx       PM1 control
    0xb8, 0x00, 0x20,       //     mov $0x2000,%ax      sleep enable, type 0: off
    0xef,                   //     out %ax,(%dx)
    0xeb, 0xed,             //     jmp 4b
];

/// Code of the rebooter behind the output of the text.
#[rustfmt::skip]
const REBOOTER: [u8; 0x15] = [
    0xfb,                   // 1f: sti
    0xf4,                   // 20: hlt                  until the timer's next tick
    0xba, 0xfd, 0x03,       // 21: mov $0x3fd,%dx       line status of the first serial port
    0xec,                   // 24: in (%dx),%al
    0xa8, 0x01,             // 25: test $0x1,%al        a byte is there
    0x74, 0xf7,             // 27: je 0x20
    0xba, 0xf8, 0x03,       // 29: mov $0x3f8,%dx
    0xec,                   // 2c: in (%dx),%al
    0xb0, 0xfe,             // 2d: mov $0xfe,%al        pulse the reset line (8042)
    0xe6, 0x64,             // 2f: out %al,$0x64
    0xf4,                   // 31: hlt
    0xeb, 0xfd,             // 32: jmp 0x31
];

/// Code of the writer: the same to `sti`, then a pause, and a write by SeaBIOS at each tick.
#[rustfmt::skip]
const WRITER: [u8; 0x78] = [
    0x8c, 0xc8,                                     // 00: mov %cs,%ax
    0x8e, 0xd8,                                     // 02: mov %ax,%ds
    0x8e, 0xc0,                                     // 04: mov %ax,%es
    0xbe, 0x00, 0x01,                               // 06: mov $0x100,%si
    0xfc,                                           // 09: cld
    0xac,                                           // 0a: lods %ds:(%si),%al
    0x84, 0xc0,                                     // 0b: test %al,%al
    0x74, 0x12,                                     // 0d: je 0x21
    0x88, 0xc4,                                     // 0f: mov %al,%ah
    0xba, 0xfd, 0x03,                               // 11: mov $0x3fd,%dx
    0xec,                                           // 14: in (%dx),%al
    0xa8, 0x20,                                     // 15: test $0x20,%al
    0x74, 0xfb,                                     // 17: je 0x14
    0xba, 0xf8, 0x03,                               // 19: mov $0x3f8,%dx
    0x88, 0xe0,                                     // 1c: mov %ah,%al
    0xee,                                           // 1e: out %al,(%dx)
    0xeb, 0xe9,                                     // 1f: jmp 0xa
    0x8c, 0xc8,                                     // 21: mov %cs,%ax
    0xa3, 0xae, 0x00,                               // 23: mov %ax,0xae  segment of the buffer
    0xba, 0x02, 0x06,                               // 26: mov $0x602,%dx
    0xb8, 0x00, 0x01,                               // 29: mov $0x100,%ax
    0xef,                                           // 2c: out %ax,(%dx)
    0xfb,                                           // 2d: sti
    0xb9, 0x3c, 0x00,                               // 2e: mov $0x3c,%cx
    0xf4,                                           // 31: hlt  three seconds, in which a start ends
    0xe2, 0xfd,                                     // 32: loop 0x31
    0xf4,                                           // 34: hlt
    0xba, 0x00, 0x06,                               // 35: mov $0x600,%dx  PM1 status: the power button
    0xed,                                           // 38: in (%dx),%ax
    0xf6, 0xc4, 0x01,                               // 39: test $0x1,%ah
    0x74, 0x07,                                     // 3c: je 0x45
    0xba, 0x04, 0x06,                               // 3e: mov $0x604,%dx  PM1 control: off
    0xb8, 0x00, 0x20,                               // 41: mov $0x2000,%ax
    0xef,                                           // 44: out %ax,(%dx)
    0xbe, 0xa8, 0x00,                               // 45: mov $0xa8,%si
    0xb8, 0x00, 0x43,                               // 48: mov $0x4300,%ax  extended write (INT 13h, AH=43h)
    0xb2, 0x80,                                     // 4b: mov $0x80,%dl  the first disk
    0xcd, 0x13,                                     // 4d: int $0x13
    0xbe, 0xa8, 0x00,                               // 4f: mov $0xa8,%si
    0x8c, 0xc8,                                     // 52: mov %cs,%ax
    0x8e, 0xd8,                                     // 54: mov %ax,%ds
    0x66, 0x81, 0x44, 0x08, 0x80, 0x00, 0x00, 0x00, // 56: addl $0x80,0x8(%si)  128 sectors further
    0xba, 0xf8, 0x03,                               // 5e: mov $0x3f8,%dx
    0xb0, 0x2e,                                     // 61: mov $0x2e,%al
    0x73, 0x00,                                     // 63: jae 0x65
    0xee,                                           // 65: out %al,(%dx)
    0xeb, 0xcc,                                     // 66: jmp 0x34
    // 68: disk address packet: one sector of this code, from sector 2048 on
    0x10, 0x00, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

impl Guest {
    /// Writes the image of the guest.
    pub fn image(self, dir: &Path) -> Result<()> {
        let mut kernel = vec![0; LEN];
        let mut put = |at: usize, bytes: &[u8]| kernel[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x1f1, &[1]); // One sector of setup code.
        put(0x1fe, &[0x55, 0xaa]);
        put(0x200, &[0xeb, 0x3e]); // jmp to the code
        put(0x202, b"HdrS\x03\x02"); // Protocol 2.03, the first with a limit for the initrd.
        put(0x22c, &0x37ff_ffff_u32.to_le_bytes());
        put(CODE_AT, &CODE);
        match self {
            Self::Usual => put(TEXT_AT, READY),
            Self::Other => put(TEXT_AT, &[b"\n", READY].concat()),
            Self::Ram => {
                let text = String::from_utf8_lossy(READY).replace("data=/dev/vda", "data=ram");
                put(TEXT_AT, text.as_bytes());
            }
            Self::Deaf => {
                put(TEXT_AT, READY);
                put(BUTTON_AT, &[0]);
            }
            Self::Rebooter => {
                put(TEXT_AT, READY);
                put(CODE_AT + 0x1f, &REBOOTER);
            }
            Self::Silent => put(TEXT_AT, b"silent\n\0"),
            Self::Writer => {
                put(CODE_AT, &WRITER);
                put(TEXT_AT, READY);
            }
        }
        fs::create_dir_all(dir)?;
        fs::write(dir.join("vmlinuz"), kernel)?;
        fs::write(dir.join("initrd.img"), "nothing")?;
        Ok(())
    }
}

/// Variable with the arguments of the ssh that [`install_ssh`] installs.
const ARGUMENTS: &str = "SMALL_GUEST_SSH";

/// File beside that ssh with the tables of the guest's sockets.
pub const TABLES: &str = "tables";

/// File beside that ssh which makes `b2p boot` of the guest fail.
pub const NO_CHART: &str = "no-chart";

/// File beside that ssh with the number of tunnels that fail.
pub const FAILS: &str = "fails";

/// File beside that ssh with the host key of the guest.
pub const HOST_KEY: &str = "host-key";

/// Part of that ssh: it learns the first host key, and refuses another one, as ssh(1) does.
const KNOWN_HOSTS: &str = r#"key="${0%/*}/host-key"
if [ -e "$key" ]; then
    known=$(sed -n 's/.*UserKnownHostsFile "\(.*\)"/\1/p' "$2")
    [ -s "$known" ] || cp "$key" "$known"
    cmp -s "$key" "$known" || { echo "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!" >&2; exit 255; }
fi
"#;

/// Puts an `ssh` into a directory that is the podman API of the guest, too.
pub fn install_ssh(bin: &Path) -> Result<()> {
    let test = std::env::current_exe()?;
    // Descriptor 3 is the output that the keeper reads; the test harness writes to the other one.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *\"sudo test -e\"*) exit 1;; */proc/net/*) exec cat \"${{0%/*}}/{TABLES}\";; *\"b2p boot\") [ ! -e \"${{0%/*}}/{NO_CHART}\" ] || exec cat /proc/no-chart;; esac\ncase \"$*\" in *\" -- \"*) exec echo in the guest;; esac\nfails=\"${{0%/*}}/{FAILS}\"\nif [ -e \"$fails\" ]; then left=$(($(cat \"$fails\") - 1)); if [ $left -gt 0 ]; then echo $left >\"$fails\"; else rm \"$fails\"; fi; echo Connection reset >&2; exit 255; fi\n{KNOWN_HOSTS}exec 3>&1 >/dev/null\nIFS='\n'\n{ARGUMENTS}=\"$*\" exec '{}' --exact guest::helper_process_not_a_test --nocapture\n",
        test.display()
    );
    fs::create_dir_all(bin)?;
    fs::write(bin.join("ssh"), script)?;
    Ok(fs::set_permissions(
        bin.join("ssh"),
        Permissions::from_mode(0o755),
    )?)
}

/// Serves the API at the socket that ssh would forward; does nothing as a test.
#[test]
fn helper_process_not_a_test() -> Result<()> {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return Ok(());
    };
    let mut words = arguments
        .split('\n')
        .skip_while(|word| *word != "-L")
        .skip(1);
    let socket = words.next().and_then(|forward| forward.split(':').next());
    let socket = Path::new(socket.context("no -L")?);
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    let output = File::options().write(true).open("/dev/fd/3")?;
    let command = arguments
        .split('\n')
        .find_map(|word| word.strip_prefix("LocalCommand="));
    // By the user's shell: ssh_config(5).
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let mut local = Command::new(shell);
    local.arg("-c").arg(command.context("no LocalCommand")?);
    local.stdout(output).status()?;
    for client in listener.incoming() {
        let client = client?;
        thread::spawn(move || answer(client));
    }
    Ok(())
}

fn answer(mut client: UnixStream) -> Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let len = client.read(&mut part)?;
        if len == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..len]);
    }
    client.write_all(
        b"HTTP/1.1 200 OK\r\nLibpod-API-Version: 5.0.0\r\nContent-Length: 2\r\n\
          Connection: close\r\n\r\nOK",
    )?;
    Ok(())
}
