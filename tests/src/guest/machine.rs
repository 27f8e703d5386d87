//! The emulated machine: a qemu and its disk.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::Image;
use crate::wait_for;

/// Names of directories begin so, then comes the process id of the test.
const PREFIX: &str = "mpg";
/// How long qemu may take to do its own part.
const QEMU: Duration = Duration::from_secs(60);
/// What a kernel is told: to be quiet, to end with the machine when it panics, to spare what costs time under
/// emulation (mitigations; systemd's BPF program, which wants the lsm of that name).
const KERNEL_LINE: &str = "console=ttyS0 quiet loglevel=4 panic=-1 net.ifnames=0 mitigations=off nokaslr audit=0 \
    lsm=landlock,lockdown,yama,integrity,apparmor systemd.show_status=0 systemd.log_color=0";
/// No more than Debian needs: with every feature that can be emulated, drivers spend seconds on testing themselves.
const EMULATED_CPU: &str = "qemu64,-svm,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,+fsgsbase";

/// A qemu that ends with the thread that started it.
#[derive(Debug)]
pub(super) struct Machine {
    qemu: Child,
}

/// Makes the directory of a guest, and removes those that tests left behind which were killed.
pub(super) fn new_directory(number: u32) -> PathBuf {
    let temporary = std::env::temp_dir();
    for entry in fs::read_dir(&temporary).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if pid
            .is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let directory = temporary.join(format!("{PREFIX}{}-{number}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    directory
}

/// Makes a disk that holds what differs from the image.
pub(super) fn make_disk(directory: &Path, image: &Image) {
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(image.root())
        .arg(directory.join("disk"))
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "qemu-img could not make a disk"
    );
}

/// The end of what came over the serial line.
pub(super) fn console(directory: &Path) -> String {
    let text = fs::read(directory.join("console")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn accelerator() -> [&'static str; 4] {
    match std::env::var("MONOPOD_GUEST_ACCEL").as_deref() {
        Ok("kvm") => ["-accel", "kvm", "-cpu", "host"],
        // A smaller cache of translated code makes every later boot slower.
        _ => [
            "-accel",
            "tcg,thread=multi,tb-size=1024",
            "-cpu",
            EMULATED_CPU,
        ],
    }
}

impl Machine {
    /// Starts qemu on the directory's disk; also gives the port to the agent.
    pub(super) fn start(directory: &Path, image: &Image) -> (Self, UnixStream) {
        let socket = directory.join("agent");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut machine = Self {
            qemu: spawn(directory, image),
        };
        let port = wait_for("qemu connects to the test", QEMU, || {
            if let Some(status) = machine.qemu.try_wait().unwrap() {
                let log = fs::read_to_string(directory.join("qemu.log"));
                panic!("qemu ended ({status}): {}", log.unwrap_or_default());
            }
            listener.accept().ok()
        });
        port.0.set_nonblocking(false).unwrap();
        (machine, port.0)
    }

    /// Ends it without letting the guest know.
    pub(super) fn kill(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }

    /// What cuts its power from elsewhere.
    pub(super) fn power_switch(&self) -> PowerSwitch {
        let pid = i32::try_from(self.qemu.id()).ok().and_then(Pid::from_raw);
        PowerSwitch(pid.unwrap())
    }

    /// Waits until the guest has powered off or rebooted, either of which ends qemu.
    pub(super) fn wait_until_ended(&mut self, limit: Duration) {
        wait_for("the guest shuts down", limit, || {
            self.qemu.try_wait().unwrap()
        });
    }
}

/// Cuts the power of a machine. The guest it belongs to still exists then, so that its process id is nobody else's.
#[derive(Debug)]
pub struct PowerSwitch(Pid);

impl PowerSwitch {
    /// Off. Nothing happens if it is off already.
    pub fn off(self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// qemu on its own, without what the host configured for it; paths are relative, since those of sockets are short.
fn spawn(directory: &Path, image: &Image) -> Child {
    let log = fs::File::create(directory.join("qemu.log")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args([
            "-no-reboot",
            "-M",
            "q35,vmport=off,usb=off",
            "-rtc",
            "base=utc",
        ])
        .args(accelerator())
        .args(["-m", "2048", "-smp", "2", "-append", KERNEL_LINE])
        .arg("-kernel")
        .arg(image.kernel())
        .arg("-initrd")
        .arg(image.initrd())
        .args([
            "-drive",
            "file=disk,if=none,id=root,format=qcow2,cache=writeback,discard=unmap",
        ])
        .args(["-device", "virtio-blk-pci,drive=root"])
        // A network that leads nowhere.
        .args(["-netdev", "user,id=net,ipv6=off,restrict=on"])
        .args(["-device", "virtio-net-pci,netdev=net,romfile="])
        .args(["-chardev", "file,id=console,path=console,append=on"])
        .args(["-serial", "chardev:console"])
        .args(["-chardev", "socket,id=agent,path=agent"])
        .args(["-device", "virtio-serial-pci"])
        .args(["-device", "virtserialport,chardev=agent,name=monopod"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv qemu-system-x86_64: {error}"))
}
