//! Commands as users type them. In goes an argument list; out comes what was printed.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::images::repository;

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub fn expect_success(self) -> String {
        assert!(self.success, "the command failed: {}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program in the repository's top folder, with `input` as its standard input.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_owned();
    let written = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = child.wait_with_output().await.expect("its output can be read");
    // A program that ends without reading closes the pipe.
    let _ = written.await;
    Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `kubectl ARGUMENTS`.
pub async fn kubectl(arguments: &[&str]) -> Output {
    run("kubectl", arguments, "").await
}
