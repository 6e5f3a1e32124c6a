//! The registry and the object store, each on a port and a folder of its own, ended with the value that stands for it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;

pub struct Program {
    pub address: SocketAddr,
    pub folder: TempDir,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Starts the registry with more lines of configuration.
    pub async fn registry(more: &str) -> Self {
        Self::registry_at(free_address(), more).await
    }

    /// Starts the registry at an address that something may wait for already.
    pub async fn registry_at(address: SocketAddr, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("registry");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \
             '{address}'}}\n{more}",
            root.display()
        );
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        let mut command = Command::new(find("registry"));
        command.arg("serve").arg(folder.path().join("config.yaml"));
        Self::start(command, folder, address).await
    }

    /// Starts the registry with all of its configuration.
    pub async fn registry_with(address: SocketAddr, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        let mut command = Command::new(find("registry"));
        command.arg("serve").arg(folder.path().join("config.yaml")).env("OTEL_TRACES_EXPORTER", "none");
        Self::start(command, folder, address).await
    }

    /// Starts the operator's executable before a registry, in a cluster whose API server is at a URL.
    pub async fn push_proxy(address: SocketAddr, registry: &str, prefix: &str, cluster: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{cluster}'}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, config).unwrap();
        let mut command = Command::new(find("modelwright"));
        command.args([
            "push-proxy",
            "--address",
            &address.to_string(),
            "--probe-address",
            &free_address().to_string(),
            "--registry",
            registry,
            "--prefix",
            prefix,
        ]);
        command.env_clear().env("KUBECONFIG", kubeconfig).env("RUST_LOG", "modelwright=debug");
        Self::start(command, folder, address).await
    }

    pub fn words(&self) -> PathBuf {
        self.folder.path().join("words")
    }

    /// Configuration of a registry that lets in `ada` with the password `pw` only.
    pub fn password_file(folder: &Path) -> String {
        let path = folder.join("htpasswd");
        // As `htpasswd -nbB ada pw` writes it.
        fs::write(&path, "ada:$2a$04$WRATP4qfH20m.yoEN2A7ueQPFlec521DCUfVAKHxC4g2DoSP6UDmy\n").unwrap();
        format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display())
    }

    /// Starts the object store over a folder with one folder a bucket.
    pub async fn object_store(folder: TempDir, tls: Option<(&Path, &Path)>) -> Self {
        Self::object_store_at(free_address(), folder, tls).await
    }

    /// Starts the object store at an address that something may wait for already.
    pub async fn object_store_at(address: SocketAddr, folder: TempDir, tls: Option<(&Path, &Path)>) -> Self {
        let mut command = Command::new(find("versitygw"));
        command.args(["--access", "ada", "--secret", "lovelace", "--port", &address.to_string(), "--quiet"]);
        if let Some((certificate, key)) = tls {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        // Beside the buckets, so that no file system of a test needs extended attributes.
        let sidecar = folder.path().join("sidecar");
        fs::create_dir_all(&sidecar).unwrap();
        command.arg("posix").arg("--sidecar").arg(sidecar).arg(folder.path().join("buckets"));
        Self::start(command, folder, address).await
    }

    async fn start(mut command: Command, folder: TempDir, address: SocketAddr) -> Self {
        let words = fs::File::create(folder.path().join("words")).unwrap();
        command.stdin(Stdio::null()).stdout(words.try_clone().unwrap()).stderr(words);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut program = Self { address, folder, child };
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return program;
            }
            if let Some(status) = program.child.try_wait().unwrap() {
                let words = fs::read_to_string(program.folder.path().join("words")).unwrap();
                panic!("{command:?} ended with {status}: {words}");
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{command:?} does not listen at {address} after 10 s");
    }
}

/// An address that nothing listens at, and that nothing else gets: systems give out ports from 32,768 on to whoever asks
/// for any, to clients too, so that one of those would not stay free until somebody listens there.
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Another process begins elsewhere.
        let number = std::process::id().wrapping_mul(997).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).unwrap();
        if let Ok(free) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return free.local_addr().unwrap();
        }
    }
    panic!("every port from {FIRST} on is taken");
}

fn find(name: &str) -> PathBuf {
    let named = std::env::var_os("MODELWRIGHT_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = named.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "the program `{name}` is neither in the folder that MODELWRIGHT_BIN names nor on the PATH; \
             tests/cluster/programs builds it"
        )
    })
}

/// An executable of this workspace: cargo puts it beside the folder of tests.
pub fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name(name);
    assert!(program.is_file(), "{} is missing; `cargo build --package {name}` makes it", program.display());
    program
}
