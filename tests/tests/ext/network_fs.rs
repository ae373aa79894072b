// SPDX-License-Identifier: Apache-2.0
//! Volumes of podman on servers of NFS and SMB, which run on the host.

use crate::portmapper;
use crate::programs::nothing_is_missing;
use crate::target::Target;
use crate::{END, says};
use anyhow::{Result, ensure};
use initramfs::fetch::BuildConfig;
use initramfs::packages::Kernel;
use initramfs::progress::Step;
use initramfs::sandbox::Sandbox;
use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use tests::{Checks, Guest, disks, eventually, image, ports};
use vmm::process;

/// Replaces a file of the tree that servers of other tests read at the same time.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let new = path.with_extension(std::process::id().to_string());
    fs::write(&new, text)?;
    Ok(fs::rename(&new, path)?)
}

/// A server in a tree of packages; its directory is /srv there.
struct Server {
    process: Child,
    port: u16,
    /// Port of the mount protocol of NFS 3.
    mount_port: u16,
    /// Directory that it shares.
    shared: PathBuf,
}

impl Server {
    fn start(
        dir: &Path,
        program: &[&str],
        config: impl FnOnce(u16, u16) -> String,
    ) -> Result<Self> {
        let tree = BuildConfig::from_env()?.fetch_file_servers(&Step::new("servers", 1, 1))?;
        let etc = tree.root.join("etc");
        let accounts = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
        replace(&etc.join("passwd"), accounts.as_bytes())?;
        replace(&etc.join("group"), b"root:x:0:\nnogroup:x:65534:\n")?;
        replace(&etc.join("mtab"), &fs::read("/proc/self/mounts")?)?;
        let (port, mount_port) = (ports::free()?, ports::free()?);
        let shared = dir.join("shared");
        for name in ["shared", "state"] {
            fs::create_dir_all(dir.join(name))?;
        }
        fs::write(dir.join("server.conf"), config(port, mount_port))?;
        let sandbox = Sandbox::new(&tree.root)?;
        portmapper::start(&dir.join("run"))?;
        let sandbox = sandbox
            .bind(dir, "/srv")?
            .bind(&dir.join("run"), "/var/run")?
            .bind(Path::new("/proc"), "/proc")?;
        let mut command = sandbox.command(&["PATH=/usr/sbin:/usr/bin"], "/srv", program);
        let output = fs::File::create(dir.join("output"))?;
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let process = process::spawn(command)?;
        let server = Server {
            process,
            port,
            mount_port,
            shared,
        };
        eventually(END, || {
            Ok(TcpStream::connect(("127.0.0.1", port)).map(drop)?)
        })?;
        Ok(server)
    }

    fn nfs(dir: &Path) -> Result<Self> {
        let program = [
            "ganesha.nfsd",
            "-F",
            "-f",
            "/srv/server.conf",
            "-L",
            "/srv/log",
            "-p",
            "/srv/pid",
        ];
        Self::start(dir, &program, |port, mount_port| {
            format!(
                "NFS_CORE_PARAM {{ Protocols = 3, 4; NFS_Port = {port}; MNT_Port = {mount_port}; Bind_addr = 127.0.0.1; Enable_NLM = false; \
                 Enable_RQUOTA = false; allow_set_io_flusher_fail = true; \
                 Plugins_Dir = \"/usr/lib/x86_64-linux-gnu/ganesha\"; }}\n\
                 NFSV4 {{ Graceless = true; RecoveryRoot = /srv/state; RecoveryBackend = fs; }}\n\
                 EXPORT {{ Export_Id = 1; Path = /srv/shared; Pseudo = /share; Protocols = 3, 4; Transports = TCP; \
                 Access_Type = RW; Squash = None; SecType = sys; FSAL {{ Name = VFS; }} }}\n"
            )
        })
    }

    fn smb(dir: &Path) -> Result<Self> {
        fs::write(dir.join("smbpasswd"), ACCOUNT)?;
        let program = [
            "smbd",
            "--foreground",
            "--no-process-group",
            "--configfile=/srv/server.conf",
        ];
        Self::start(dir, &program, |port, _| {
            format!(
                "[global]\nserver role = standalone server\nsmb ports = {port}\ninterfaces = 127.0.0.1/8\n\
                 bind interfaces only = yes\nmap to guest = bad user\nguest account = root\n\
                 disable netbios = yes\nload printers = no\nlog file = /srv/log\nstate directory = /srv/state\n\
                 cache directory = /srv/state\nlock directory = /srv/state\nprivate dir = /srv/state\n\
                 pid directory = /srv/state\nncalrpc dir = /srv/state/ncalrpc\n\
                 passdb backend = smbpasswd:/srv/smbpasswd\n\
                 [share]\npath = /srv/shared\nread only = no\nguest ok = yes\n\
                 [private]\npath = /srv/shared\nread only = no\nvalid users = root\n"
            )
        })
    }
}

/// Line of smbpasswd(5) for root with the password `password`, of which the second sum is MD4.
const ACCOUNT: &str = "root:0:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-00000001:\n";

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended already is reaped as well.
        let _ = process::kill_group(&mut self.process);
    }
}

/// Makes a volume with these options; containers read and write what the server has.
fn volume(guest: &Guest, server: &Server, options: &str) -> Result<()> {
    fs::write(server.shared.join("from-host"), "the host's\n")?;
    let run = format!("podman run --rm --network none -v far:/far {}", image::NAME);
    let script = format!(
        "podman volume create {options} far >/dev/null && {run} sh -c 'cat /far/from-host; echo of a container >/far/new' && \
         {run} cat /far/new && podman volume rm far >/dev/null && ! grep -q 10.0.2.2 /proc/mounts"
    );
    says(guest, &script, "the host's\nof a container")?;
    let written = fs::read_to_string(server.shared.join("new"))?;
    ensure!(written == "of a container\n", "{written}");
    Ok(())
}

/// Mounts by NFS 3, as a volume and by hand. The ports are named, because the portmapper of a server on the host is
/// not the machine's to ask; locks are those of the machine.
fn nfs3(guest: &Guest, server: &Server) -> Result<()> {
    let ports = format!("port={},mountport={}", server.port, server.mount_port);
    let options = format!("vers=3,nolock,proto=tcp,mountproto=tcp,{ports}");
    let volume_options =
        format!("--opt type=nfs --opt device=10.0.2.2:/srv/shared --opt o={options}");
    volume(guest, server, &volume_options)?;
    let script = format!(
        "mkdir -p /mnt/old && mount -t nfs -o {options} 10.0.2.2:/srv/shared /mnt/old && cat /mnt/old/new && \
         grep -o ' nfs rw,.*vers=3' /proc/mounts | cut -d, -f1 && (flock 9; echo locked >&9) 9>/mnt/old/lock && \
         umount /mnt/old && ! grep -q 10.0.2.2 /proc/mounts"
    );
    says(guest, &script, "of a container\n nfs rw")?;
    let locked = fs::read_to_string(server.shared.join("lock"))?;
    ensure!(locked == "locked\n", "{locked}");
    Ok(())
}

#[test]
#[ignore = "large packages to fetch: make test-all"]
fn nfs_and_cifs() -> Result<()> {
    nfs_and_cifs_on(Target::usual())
}

#[test]
#[ignore = "large packages to fetch: make test-all"]
fn nfs_and_cifs_generic() -> Result<()> {
    nfs_and_cifs_on(Target::of_kernel(Kernel::Generic))
}

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn nfs_and_cifs_aarch64() -> Result<()> {
    nfs_and_cifs_on(Target::of_arch("aarch64")?)
}

fn nfs_and_cifs_on(target: Target) -> Result<()> {
    let test = target.test("ext-network-fs");
    let dir = disks::dir(&test)?;
    let dirs = ["nfs", "smb"].map(|name| dir.join(name));
    dirs.iter().try_for_each(fs::create_dir_all)?;
    let [nfs, smb] = [Server::nfs(&dirs[0])?, Server::smb(&dirs[1])?];
    let names = ["nfs", "cifs"];
    let machine = target.machine("ext-network-fs", &names, "b2p.ext=nfs,cifs", &dir)?;
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new(&test);
    checks.check("nothing is missing", || nothing_is_missing(&guest));
    checks.check("the image is there", || target.load(&guest));
    checks.check("a volume by NFS", || {
        let options = "--opt type=nfs --opt device=10.0.2.2:/share --opt o=vers=4.2,port=";
        volume(&guest, &nfs, &format!("{options}{}", nfs.port))
    });
    checks.check("locks of NFS 3 are refused, with the remedy", || {
        // The program that mounts looks for statd before it asks the server.
        let script = "podman volume create --opt type=nfs --opt device=10.0.2.2:/share --opt o=vers=3 old >/dev/null && \
            ! podman volume mount old 2>/tmp/why >&2 && podman volume rm old >/dev/null && grep -c -- '-o nolock' /tmp/why; \
            cat /tmp/why >&2";
        let said = guest.ssh("root", script)?;
        let why = String::from_utf8_lossy(&said.stderr);
        // No number: an earlier step of the script has failed.
        let found = tests::text(&said)?.parse::<u32>();
        ensure!(found.is_ok_and(|lines| lines > 0), "{why}");
        Ok(())
    });
    checks.check("NFS 3 without locks", || nfs3(&guest, &nfs));
    checks.check("a volume by SMB", || {
        let options =
            "--opt type=cifs --opt device=//10.0.2.2/share --opt o=guest,vers=3.1.1,port=";
        volume(&guest, &smb, &format!("{options}{}", smb.port))
    });
    checks.check("a volume by SMB with a password", || {
        let options = |password: &str| {
            format!(
                "--opt type=cifs --opt device=//10.0.2.2/private --opt o=username=root,password={password},port={}",
                smb.port
            )
        };
        volume(&guest, &smb, &options("password"))?;
        let refused = format!(
            "podman volume create {} other >/dev/null && ! podman volume mount other 2>/tmp/why && \
             podman volume rm other >/dev/null && grep -c 'Permission denied' /tmp/why",
            options("wrong")
        );
        let said = guest.sh(&refused)?;
        ensure!(said != "0", "{said}");
        Ok(())
    });
    checks.check("an extension is removed while another uses its modules", || {
        guest.sh("modprobe cifs && modprobe nfsv4")?;
        let both = "for name in nfs cifs; do cut -d: -f1 /lib/modules/*/ext/$name.dep; done | sort | uniq -d | wc -l";
        ensure!(guest.sh(both)? != "0", "they have no module in common");
        says(&guest, "b2p ext remove nfs", "nfs: removed")?;
        says(&guest, "cat /sys/module/cifs/initstate; test -e /sys/module/nfs || echo gone", "live\ngone")?;
        let options = "--opt type=cifs --opt device=//10.0.2.2/share --opt o=guest,port=";
        volume(&guest, &smb, &format!("{options}{}", smb.port))
    });
    checks.check("the machine ends in order", || {
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(END)?.success(), "{}", guest.vm.tail());
        Ok(())
    });
    checks.finish(&guest)?;
    drop((guest, nfs, smb));
    Ok(fs::remove_dir_all(dir)?)
}
