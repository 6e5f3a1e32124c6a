//! A real serving process on loopback, and a client that shows what it gets.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{cgroup::Group, models::model, programs::executable};

/// Longer than anything here takes, so that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running `modelwright-serve`, stopped when it is dropped.
pub struct Serving {
    child: Child,
    logs: Arc<Logs>,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub metrics: SocketAddr,
}

#[derive(Default)]
struct Logs {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Default)]
struct Lines {
    read: Vec<Value>,
    ended: bool,
}

impl Lines {
    fn find(&self, outcome: &str) -> Option<Value> {
        self.read.iter().find(|line| line["outcome"] == outcome).cloned()
    }
}

impl Serving {
    /// Starts a model of `tests/models` and waits until it is ready.
    pub fn model(name: &str, arguments: &[&str]) -> Self {
        Self::at(&model(name), name, arguments)
    }

    /// Starts a file or folder under a name and waits until it is ready.
    pub fn at(path: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["--model", path.to_str().unwrap(), "--name", name];
        all.extend(arguments);
        let serving = Self::start(&all, &[]);
        serving.wait_for("ready");
        serving
    }

    /// Starts the process and waits until it listens.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_as(Command::new(executable("modelwright-serve")), arguments, environment)
    }

    /// Starts a model of `tests/models` in a control group and waits until it is ready.
    pub fn model_in(group: &Group, name: &str, arguments: &[&str]) -> Self {
        let path = model(name);
        let mut all = vec!["--model", path.to_str().unwrap(), "--name", name];
        all.extend(arguments);
        let serving =
            Self::start_as(group.command(executable("modelwright-serve").to_str().unwrap()), &all, &[]);
        serving.wait_for("ready");
        serving
    }

    fn start_as(mut command: Command, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().copied())
            .env("RUST_LOG", "info,actix_server=warn")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = Arc::new(Logs::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let for_reader = Arc::clone(&logs);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                for_reader.lines.lock().unwrap().read.push(line);
                for_reader.news.notify_all();
            }
            for_reader.lines.lock().unwrap().ended = true;
            for_reader.news.notify_all();
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serving = Self { child, logs, http: unknown, grpc: unknown, metrics: unknown };
        let line = serving.wait_for("listening");
        serving.http = line["http"].as_str().unwrap().parse().unwrap();
        serving.grpc = line["grpc"].as_str().unwrap().parse().unwrap();
        serving.metrics = line["metrics"].as_str().unwrap().parse().unwrap();
        serving
    }

    /// Waits for a log line with this outcome.
    pub fn wait_for(&self, outcome: &str) -> Value {
        let lines = self.logs.lines.lock().unwrap();
        let waits = |lines: &mut Lines| lines.find(outcome).is_none() && !lines.ended;
        let (lines, _) = self.logs.news.wait_timeout_while(lines, PATIENCE, waits).unwrap();
        lines.find(outcome).unwrap_or_else(|| panic!("no outcome {outcome:?} in {:#?}", lines.read))
    }

    /// A log line that is so, of all that it wrote before it ended.
    pub fn ended_with(&self, is: impl Fn(&Value) -> bool) -> Value {
        let lines = self.logs.lines.lock().unwrap();
        let (lines, _) = self.logs.news.wait_timeout_while(lines, PATIENCE, |lines| !lines.ended).unwrap();
        let found = lines.read.iter().find(|line| is(line)).cloned();
        found.unwrap_or_else(|| panic!("no such line in {:#?}", lines.read))
    }

    /// Waits until `/status` says so.
    pub fn wait_for_status(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if is(&status) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "never {what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A metric without further labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = Client::new(self.metrics).get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a metric without further labels has this value.
    pub fn wait_for_metric(&self, name: &str, value: f64) {
        self.wait_for_metric_that(name, &format!("{value}"), |found| (found - value).abs() < 1e-9);
    }

    /// Waits until a metric without further labels is so.
    pub fn wait_for_metric_that(&self, name: &str, what: &str, is: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let found = self.metric(name);
            if found.is_some_and(&is) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} is never {what}: {found:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a prediction was made.
    pub fn wait_for_prediction(&self) {
        let begun = Instant::now();
        while self.status()["requests"] == 0 {
            assert!(begun.elapsed() < PATIENCE, "no prediction is made");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn status(&self) -> Value {
        Client::new(self.metrics).get("/status").json()
    }

    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// What its program was started with.
    pub fn environment(&self) -> Vec<String> {
        let variables = std::fs::read_to_string(format!("/proc/{}/environ", self.child.id())).unwrap();
        variables.split_terminator('\0').map(str::to_owned).collect()
    }

    /// The names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // One may have ended since.
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect()
    }

    /// Most memory that the process has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Bytes of its own that are in memory now, without those of files.
    pub fn own_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn terminate(&self) {
        let done = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }

    /// Waits for the end and gives the exit code.
    pub fn exit_code(&mut self) -> i32 {
        let status = self.ended();
        status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"))
    }

    /// Waits for the end and gives how it came.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// The JSON and the binary data behind it.
    pub fn binary(&self) -> (Value, Vec<u8>) {
        let length = self.headers["inference-header-content-length"].parse().unwrap();
        let (json, binary) = self.bytes.split_at(length);
        (serde_json::from_slice(json).unwrap(), binary.to_vec())
    }

    pub fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}

/// A keep-alive client over one connection.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::try_new(address).unwrap()
    }

    pub fn try_new(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "").unwrap()
    }

    pub fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "", body).unwrap()
    }

    /// Sends a request with extra header lines.
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Answer> {
        self.send_bytes(method, path, headers, body.as_bytes())
    }

    pub fn send_bytes(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.receive()
    }

    /// Sends bytes and does not wait for an answer.
    pub fn send_only(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    pub fn receive(&mut self) -> std::io::Result<Answer> {
        let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(ended)?;
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length =
            headers.get("content-length").and_then(|length| length.parse().ok()).ok_or_else(ended)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), bytes: body })
    }
}

/// Body of a request with one input.
pub fn one_input(name: &str, datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}"#)
}

/// A folder like that of an artifact, with a model and golden samples.
pub fn artifact(model: &str, folder: &Path) -> String {
    use modelwright_core::{digest, golden, session};
    std::fs::copy(super::models::model(model), folder.join("model.onnx")).unwrap();
    let loaded =
        session::Session::load(&folder.join("model.onnx"), &session::SessionOptions::default()).unwrap();
    let samples = golden::record_synthetic(&loaded, 3, 7).unwrap();
    std::fs::create_dir_all(folder.join("modelwright")).unwrap();
    std::fs::write(folder.join("modelwright/golden.json"), serde_json::to_vec(&samples).unwrap()).unwrap();
    digest::model_files(folder).unwrap().digest
}

/// The JSON of a serving config.
pub fn config(folder: &Path, digest: &str) -> String {
    serde_json::json!({
        "model": "digits", "version": 3, "modelDigest": digest, "revision": "r1",
        "directory": folder, "executionProviders": ["CPU"], "allowFallback": false,
        "queue": 8, "timeoutMilliseconds": 20000, "maxRequestBytes": 1_000_000, "drainTimeoutMilliseconds": 20000,
    })
    .to_string()
}
