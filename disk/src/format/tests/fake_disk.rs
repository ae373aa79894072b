// SPDX-License-Identifier: Apache-2.0
//! Disk in memory that loses its power.

use std::collections::BTreeMap;
use std::{fmt, io};

use crate::bytes::{ReadAt, put};
use crate::format::FormatTarget;

type Sector = [u8; 512];

/// Disk in memory with a write cache, whose power fails after some writes. The cached writes are
/// lost, stored, or both, each sector for itself.
#[derive(Clone)]
pub struct FakeDisk {
    pub size: u64,
    /// Sectors that are stored, without those that are zero.
    pub durable: BTreeMap<u64, Sector>,
    /// Writes in the cache, in their order.
    pub cached: Vec<(u64, Sector)>,
    /// Number of writes until the power fails.
    pub writes_left: usize,
    /// Number of writes that were made.
    pub writes_done: usize,
    pub partition_offset: u64,
}

/// Failure of the power.
#[derive(Debug)]
pub struct PowerCut;

impl fmt::Display for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the power has failed")
    }
}

impl FakeDisk {
    pub fn new(size: u64, front: &[u8]) -> FakeDisk {
        let mut disk = FakeDisk {
            size,
            durable: BTreeMap::new(),
            cached: Vec::new(),
            writes_left: usize::MAX,
            writes_done: 0,
            partition_offset: 0,
        };
        disk.write(0, front).unwrap();
        disk.flush().unwrap();
        disk
    }

    /// Returns the disk after the power has failed. `coins` decides how many of the cached writes
    /// to each sector are stored.
    pub fn after_power_cut(mut self, coins: &mut Coins) -> FakeDisk {
        let mut stores = BTreeMap::<u64, bool>::new();
        for (number, sector) in std::mem::take(&mut self.cached) {
            // After the first write to a sector that is lost, the later ones are lost, too.
            let stored = stores
                .entry(number)
                .and_modify(|stored| *stored &= coins.toss())
                .or_insert_with(|| coins.toss());
            if *stored {
                self.durable.insert(number, sector);
            }
        }
        FakeDisk {
            writes_left: usize::MAX,
            writes_done: 0,
            ..self
        }
    }

    pub fn sector(&self, number: u64) -> Sector {
        let cached = self.cached.iter().rev().find(|(n, _)| *n == number);
        let stored = || self.durable.get(&number).copied().unwrap_or([0; 512]);
        cached.map_or_else(stored, |(_, sector)| *sector)
    }

    fn is_zero(&self, number: u64) -> bool {
        !self.durable.contains_key(&number) && !self.cached.iter().any(|(n, _)| *n == number)
    }
}

impl ReadAt for FakeDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset + buffer.len() as u64 > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let skip = (at % 512) as usize;
            let n = (512 - skip).min(buffer.len() - done);
            buffer[done..done + n].copy_from_slice(&self.sector(at / 512)[skip..skip + n]);
            done += n;
        }
        Ok(())
    }
}

impl FormatTarget for FakeDisk {
    type Error = PowerCut;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), PowerCut> {
        assert!(offset.is_multiple_of(512) && offset + bytes.len() as u64 <= self.size);
        if self.writes_left == 0 {
            return Err(PowerCut);
        }
        self.writes_left -= 1;
        self.writes_done += 1;
        for (number, chunk) in (offset / 512..).zip(bytes.chunks(512)) {
            let mut sector = [0; 512];
            put(&mut sector, 0, chunk);
            if sector != [0; 512] || !self.is_zero(number) {
                self.cached.push((number, sector));
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PowerCut> {
        self.durable.extend(self.cached.drain(..));
        self.durable.retain(|_, sector| *sector != [0; 512]);
        Ok(())
    }

    fn add_partition(&mut self, offset: u64, _: u64) -> Result<(), PowerCut> {
        self.partition_offset = offset;
        Ok(())
    }

    fn make_filesystem(&mut self, uuid: &str, label: &str) -> Result<(), PowerCut> {
        self.write(self.partition_offset + 1024, &[0; 1024])?;
        self.flush()?;
        self.write(self.partition_offset + (4 << 20), b"inodes of nothing")?;
        self.superblock(Some(uuid), label)
    }

    fn store_userdata(&mut self, archive: &[u8]) -> Result<(), PowerCut> {
        self.write(self.partition_offset + USERDATA, archive)?;
        self.flush()
    }

    fn set_label(&mut self, label: &str) -> Result<(), PowerCut> {
        self.superblock(None, label)
    }

    fn report(&mut self, _: &str) {}
}

/// Offset of userdata.tar in the simulated file system.
pub const USERDATA: u64 = 6 << 20;
/// Offset of later data in the simulated file system.
pub const LATER_DATA: u64 = 5 << 20;

impl FakeDisk {
    pub fn superblock(&mut self, uuid: Option<&str>, label: &str) -> Result<(), PowerCut> {
        let mut sb = self.sector((self.partition_offset + 1024) / 512);
        put(&mut sb, 0x38, &[0x53, 0xef]);
        put(&mut sb, 0x60, &[0x42, 2]);
        if let Some(uuid) = uuid {
            let hex: String = uuid.chars().filter(|c| *c != '-').collect();
            let bytes = (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap());
            put(&mut sb, 0x68, &bytes.collect::<Vec<_>>());
        }
        put(&mut sb, 0x78, &[0; 16]);
        put(&mut sb, 0x78, label.as_bytes());
        self.write(self.partition_offset + 1024, &sb)?;
        self.flush()
    }
}

/// Coins from a seed (xorshift); 0 and `u64::MAX` always show the same side.
pub struct Coins(pub u64);

impl Coins {
    pub fn next(&mut self) -> u64 {
        for shift in [13, -7i32, 17] {
            self.0 ^= if shift > 0 {
                self.0 << shift
            } else {
                self.0 >> -shift
            };
        }
        self.0
    }

    fn toss(&mut self) -> bool {
        match self.0 {
            0 => false,
            u64::MAX => true,
            _ => self.next() & 1 == 1,
        }
    }
}
