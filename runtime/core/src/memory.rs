//! How much memory this process may use: that of the machine, and no more than the limits of its control groups. In go files
//! of the kernel; out comes a number of bytes.
//!
//! Of version 2 (`memory.max`) and version 1 (`memory.limit_in_bytes`), from the process' own group up to the root that is
//! seen from here: each of them may have a limit. See cgroups(7) and the kernel's documentation of both.

use std::{fs, path::Path};

use crate::cores::smallest;

/// Bytes that this process may use; none where the system does not say.
pub fn memory() -> Option<u64> {
    memory_under(Path::new("/"))
}

/// The same, with the kernel's files under this root.
fn memory_under(root: &Path) -> Option<u64> {
    [smallest(root, "memory", limit_of), machine(root)].into_iter().flatten().min()
}

/// What the control groups allow, where that is less than the machine has.
pub fn container() -> Option<u64> {
    let root = Path::new("/");
    let limit = smallest(root, "memory", limit_of)?;
    (limit < machine(root).unwrap_or(u64::MAX)).then_some(limit)
}

fn limit_of(folder: &Path, is_unified: bool) -> Option<u64> {
    let name = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
    // `max` is no limit; without one, version 1 has more than any machine.
    fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const V1: &str = "36 32 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      37 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw";

    fn found(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let machine = "MemFree: 1 kB\nMemTotal:       16384 kB";
        let all =
            [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mountinfo), ("proc/meminfo", machine)];
        for (path, text) in all.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        memory_under(root.path())
    }

    #[test]
    fn the_smallest_limit_of_either_version_counts_and_else_the_machines_memory() {
        let v2 = |own: &str, above: &str| {
            found(
                "0::/pod/c",
                V2,
                &[("sys/fs/cgroup/pod/c/memory.max", own), ("sys/fs/cgroup/pod/memory.max", above)],
            )
        };
        assert_eq!(v2("1048576", "max"), Some(1_048_576));
        assert_eq!(v2("max", "2097152"), Some(2_097_152));
        assert_eq!(v2("max", "max"), Some(16_777_216));
        let v1 = |own: &str| {
            found(
                "4:memory:/a\n3:cpu:/b\n0::/",
                V1,
                &[
                    ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", own),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
                    ("sys/fs/cgroup/memory/b/memory.limit_in_bytes", "5"),
                ],
            )
        };
        assert_eq!(v1("1048576"), Some(1_048_576));
        assert_eq!(v1("9223372036854771712"), Some(16_777_216));
        assert_eq!(found("", "", &[]), Some(16_777_216));
        assert_eq!(memory_under(Path::new("/nowhere")), None);
        assert!(memory().is_some_and(|bytes| bytes > 1_000_000));
    }
}
