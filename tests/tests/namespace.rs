//! PID 1 in namespaces: what it does there is what it does in a machine, and it
//! takes milliseconds.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::ns::{LIMIT, Namespace, POWERED_OFF, READY};

#[test]
fn it_boots_and_powers_off() -> Result<()> {
    let pid1 = Namespace::new()?.start()?;
    pid1.says(READY, LIMIT)?;
    println!("ready after {:?}", pid1.age());
    println!("{}", pid1.output());
    std::thread::sleep(Duration::from_millis(50));
    println!("{}", pid1.about("status")?);
    pid1.signal(libc::SIGUSR2)?;
    let end = pid1.end(LIMIT)?;
    println!("{}", pid1.output());
    ensure!(end == POWERED_OFF, "{end:?}");
    Ok(())
}
