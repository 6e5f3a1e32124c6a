//! Control groups of our own, where the system lets us make them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
};

/// A control group that bounds memory; removed when it is dropped, behind the processes in it.
pub struct Group {
    folder: PathBuf,
    is_unified: bool,
}

impl Group {
    /// A group below this process' own, or why there is none.
    pub fn of_memory(bytes: u64) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own = |is: &dyn Fn(&str) -> bool| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                is(parts.next()?).then(|| parts.next())?.map(|path| path.trim_start_matches('/').to_owned())
            })
        };
        let name = format!("modelwright-test-{}-{}", id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let of_version_1 = own(&|names| names.split(',').any(|name| name == "memory"));
        let (folder, is_unified) = if let Some(path) = of_version_1 {
            (Path::new("/sys/fs/cgroup/memory").join(path), false)
        } else {
            let path = own(&str::is_empty).ok_or("there are no control groups")?;
            (Path::new("/sys/fs/cgroup").join(path), true)
        };
        let group = Self { folder: folder.join(name), is_unified };
        let made = || -> io::Result<()> {
            if is_unified {
                fs::write(folder.join("cgroup.subtree_control"), "+memory")?;
            }
            fs::create_dir(&group.folder)?;
            let limit = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
            fs::write(group.folder.join(limit), bytes.to_string())
        };
        made().map_err(|error| format!("{}: {error}", group.folder.display()))?;
        Ok(group)
    }

    /// A command in the group.
    pub fn command(&self, program: &str) -> Command {
        let procs = self.folder.join("cgroup.procs");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\"", procs.to_str().unwrap(), program]);
        command
    }

    /// Most bytes that its processes have had.
    pub fn peak(&self) -> u64 {
        let file = if self.is_unified { "memory.peak" } else { "memory.max_usage_in_bytes" };
        fs::read_to_string(self.folder.join(file)).unwrap().trim().parse().unwrap()
    }

    /// How many of its processes the system ended for want of memory.
    pub fn ended_by_the_system(&self) -> u64 {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nothing is left to be done where it is not empty.
        let _ = fs::remove_dir(&self.folder);
    }
}
