//! How many cores this process may use: those that it may run on, and no more than the quota of its control groups, rounded
//! up, since a part of a core is one more thread's. In go files of the kernel; out comes a number.
//!
//! Of version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`), from the process' own group up to the root that is seen from
//! here: each of them may have a quota. See cgroups(7) and proc_pid_mountinfo(5). The standard library's
//! `available_parallelism` rounds down, which leaves the half of `cpu: 1500m` to nobody; `num_cpus` rounds up, and reads one group
//! alone. The way to a group is that of [`crate::memory`] too, so that either would spare the twenty lines that read a quota.

use std::{fs, path::Path};

use rustix::thread::sched_getaffinity;

/// Cores that this process may use, at least 1.
pub fn cores() -> usize {
    let may_run_on = sched_getaffinity(None).map_or(1, |set| usize::try_from(set.count()).unwrap_or(1));
    quota(Path::new("/")).map_or(may_run_on, |quota| quota.min(may_run_on)).max(1)
}

/// The smallest quota in whole cores, with the kernel's files under this root; none if there is none.
fn quota(root: &Path) -> Option<usize> {
    smallest(root, "cpu", quota_of)
}

/// The smallest limit that the control groups of the process set by this controller, with the kernel's files under this
/// root. `limit` reads it from a group's folder, whose files are those of version 2 or not.
pub fn smallest<T: Ord>(
    root: &Path,
    controller: &str,
    limit: impl Fn(&Path, bool) -> Option<T>,
) -> Option<T> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let groups = groups.lines().filter_map(|line| Group::parse(line, controller));
    groups
        .filter_map(|group| {
            let mount = mounts.lines().find_map(|line| Mount::of(line, &group, controller))?;
            group.smallest(root, mount, &limit)
        })
        .min()
}

fn quota_of(folder: &Path, is_unified: bool) -> Option<usize> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let (quota, period) = if is_unified {
        let text = read("cpu.max")?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.to_owned(), period.to_owned())
    } else {
        (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
    };
    // `max` and -1 are no quota.
    let quota: usize = quota.trim().parse().ok()?;
    let period: usize = period.trim().parse().ok().filter(|period| *period > 0)?;
    Some(quota.div_ceil(period).max(1))
}

/// A control group of the process that may have a limit by a controller.
struct Group<'a> {
    is_unified: bool,
    path: &'a Path,
}

impl<'a> Group<'a> {
    /// A line of `cgroup`: the hierarchy's number, its controllers, the path.
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, Path::new(parts.next()?));
        let is_unified = controllers.is_empty();
        (is_unified || controllers.split(',').any(|name| name == controller))
            .then_some(Self { is_unified, path })
    }

    fn smallest<T: Ord>(
        &self,
        root: &Path,
        mount: Mount<'_>,
        limit: impl Fn(&Path, bool) -> Option<T>,
    ) -> Option<T> {
        // In a container without its own view of the groups, the path is the host's, and what is mounted is the group.
        let below = self.path.strip_prefix(mount.shows).unwrap_or(Path::new(""));
        let top = root.join(mount.at.strip_prefix("/").unwrap_or(mount.at));
        let folder = top.join(below);
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(&top));
        folders.filter_map(|folder| limit(folder, self.is_unified)).min()
    }
}

/// Where control groups are seen.
struct Mount<'a> {
    /// Which of them is at the top.
    shows: &'a Path,
    at: &'a Path,
}

impl<'a> Mount<'a> {
    /// The mount of a line of `mountinfo`, if it shows the group.
    fn of(line: &'a str, group: &Group<'_>, controller: &str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (kind, options) = (kind.next()?, kind.next_back()?);
        let shows_it = match kind {
            "cgroup2" => group.is_unified,
            "cgroup" => !group.is_unified && options.split(',').any(|option| option == controller),
            _ => false,
        };
        let mut parts = mount.split(' ').skip(3);
        let (shows, at) = (Path::new(parts.next()?), Path::new(parts.next()?));
        shows_it.then_some(Self { shows, at })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const V1: &str = "36 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
                      37 32 0:31 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory";

    /// A folder with the kernel's files.
    fn found(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        let all = [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mountinfo)];
        for (path, text) in all.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        quota(root.path())
    }

    #[test]
    fn a_quota_of_version_2_is_rounded_up() {
        for (max, cores) in [
            ("max 100000", None),
            ("150000 100000", Some(2)),
            ("100000 100000", Some(1)),
            ("5000 100000", Some(1)),
            ("400001 100000", Some(5)),
            ("100000 0", None),
            ("", None),
        ] {
            assert_eq!(found("0::/", V2, &[("sys/fs/cgroup/cpu.max", max)]), cores, "{max}");
        }
    }

    #[test]
    fn the_smallest_quota_from_the_process_to_the_root_counts() {
        let files = [
            ("sys/fs/cgroup/kubepods/cpu.max", "800000 100000"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "250000 100000"),
            ("sys/fs/cgroup/kubepods/pod1/c1/cpu.max", "max 100000"),
            ("sys/fs/cgroup/kubepods/pod2/cpu.max", "10000 100000"),
        ];
        assert_eq!(found("0::/kubepods/pod1/c1", V2, &files), Some(3));
        assert_eq!(found("0::/kubepods", V2, &files), Some(8));
    }

    #[test]
    fn a_quota_of_version_1_is_that_of_the_controller_of_processor_time() {
        let groups = "12:memory:/a\n4:cpu,cpuacct:/a\n0::/";
        let files = |quota| {
            [
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
            ]
        };
        assert_eq!(found(groups, V1, &files("120000")), Some(3));
        assert_eq!(found(groups, V1, &files("-1")), None);
    }

    #[test]
    fn a_container_that_sees_the_hosts_paths_finds_its_own_group() {
        let mount = "36 32 0:30 /kubepods/pod1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";
        let files = [
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ];
        assert_eq!(found("4:cpu:/kubepods/pod1", mount, &files), Some(2));
        assert_eq!(found("4:cpu:/elsewhere", mount, &files), Some(2));
    }

    #[test]
    fn without_control_groups_there_is_no_quota() {
        assert_eq!(found("", "", &[]), None);
        assert_eq!(quota(Path::new("/nowhere")), None);
        assert!(cores() >= 1);
    }
}
