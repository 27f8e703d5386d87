//! Which boot of the host this is.

use std::{fs, io, sync::OnceLock};

use uuid::Uuid;

/// The kernel's id of this boot, new at each (`proc_sys_kernel(5)`, `random/boot_id`). Process ids and start times
/// are comparable only within one boot.
///
/// # Errors
/// It cannot be read, or is no uuid.
pub fn id() -> io::Result<Uuid> {
    static ID: OnceLock<Uuid> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(*id);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let id = text.trim().parse().map_err(io::Error::other)?;
    Ok(*ID.get_or_init(|| id))
}
