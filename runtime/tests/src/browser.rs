//! A real Chromium, driven over the WebDriver protocol (W3C). It reaches loopback and nothing else.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::serving::PATIENCE;

/// How often a page is asked again.
const LOOK: Duration = Duration::from_millis(50);

pub struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium without a screen.
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver of Debian's package chromium-driver");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver says its port");
        let profile = TempDir::new().unwrap();
        let http = reqwest::Client::new();
        let options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,1400",
                "--disable-background-networking", "--disable-component-update", "--no-first-run",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                format!("--user-data-dir={}", profile.path().display()),
            ],
        });
        let asked = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser =
            Self { driver, session: format!("http://127.0.0.1:{port}/session"), http, _profile: profile };
        let made = browser.send("", asked).await;
        let id = made["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    async fn send(&self, path: &str, body: Value) -> Value {
        let answer =
            self.http.post(format!("{}{path}", self.session)).body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(status.is_success(), "WebDriver {path}: {}", answer["value"]["message"]);
        answer["value"].clone()
    }

    pub async fn open(&self, url: &str) {
        self.send("/url", json!({ "url": url })).await;
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.send("/execute/sync", json!({"script": format!("return {expression}"), "args": []})).await
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.value(expression).await != json!(true) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{expression} is not so: {}",
                self.value("document.body.innerText").await
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.send("/element", json!({"using": "css selector", "value": selector})).await;
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        format!("/element/{}", id.unwrap())
    }

    /// Clicks as a person does.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.send(&format!("{element}/click"), json!({})).await;
    }

    /// Empties a field and types.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.send(&format!("{element}/clear"), json!({})).await;
        self.send(&format!("{element}/value"), json!({ "text": text })).await;
    }

    /// Draws a line with the mouse, from one point of an element to another, as shares of its size.
    pub async fn draw(&self, selector: &str, from: (f64, f64), to: (f64, f64)) {
        let frame = self
            .value(&format!("(f => [f.left, f.top, f.width, f.height])(document.querySelector('{selector}').getBoundingClientRect())"))
            .await;
        let frame: Vec<f64> = serde_json::from_value(frame).unwrap();
        let at = |(x, y): (f64, f64)| {
            json!({
                "type": "pointerMove", "duration": 50, "x": (frame[0] + x * frame[2]).round(), "y": (frame[1] + y * frame[3]).round(),
            })
        };
        let steps = json!([at(from), {"type": "pointerDown", "button": 0}, at(to), {"type": "pointerUp", "button": 0}]);
        let mouse = json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps});
        self.send("/actions", json!({ "actions": [mouse] })).await;
    }

    /// What the browser complained of.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.send("/se/log", json!({"type": "browser"})).await;
        log.as_array().into_iter().flatten().map(|entry| entry["message"].to_string()).collect()
    }

    /// Writes what is seen to a PNG file, and gives its size in bytes.
    pub async fn screenshot(&self, path: &Path) -> usize {
        let answer =
            self.http.get(format!("{}/screenshot", self.session)).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let image = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        assert!(image.starts_with(b"\x89PNG"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &image).unwrap();
        image.len()
    }

    pub async fn close(mut self) {
        self.http.delete(&self.session).send().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
    }
}
