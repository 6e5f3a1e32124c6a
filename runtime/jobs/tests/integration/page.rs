//! What the page for people shows of a training, in a real browser.

use std::path::Path;

use modelwright_contract::training::Task;
use serde_json::{Value, json};

use crate::support::{
    browser::Browser,
    programs::Program,
    publishing,
    serving::{Serving, one_input},
    training::{Run, digits},
};

fn picture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots").join(format!("{name}.png"))
}

fn texts(selector: &str) -> String {
    format!("[...document.querySelectorAll('{selector}')].map(found => found.textContent)")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_what_a_trained_model_is_worth_and_ask_it_in_a_browser() {
    let registry = Program::registry("").await;
    let mut run = Run::of(&registry.host(), Task::Classification, "classifier", &digits());
    run.config.keep_evaluation = true;
    let report = run.publish().await.unwrap();
    let (serving, _volume) = publishing::served(&report, "classifier").await;

    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", serving.http)).await;
    browser.until("!document.getElementById('ask').hidden").await;
    assert_eq!(browser.value("document.getElementById('name').textContent").await, "classifier");
    let served = browser.value("document.getElementById('served').textContent").await.to_string();
    assert!(served.contains(&report.model_digest) && served.contains("CPU"), "{served}");
    let metrics: Vec<String> = serde_json::from_value(browser.value(&texts("#metrics td")).await).unwrap();
    assert!(metrics.windows(2).any(|pair| pair == ["Accuracy", "0.75"]), "{metrics:?}");
    let matrix = browser.value(&texts(".confusion td")).await;
    assert_eq!(matrix, json!(["1", "0", "0", "1", "1", "0", "0", "0", "1"]));
    assert_eq!(
        browser.value("document.getElementById('example').hidden").await,
        true,
        "rows of a test part are private"
    );

    browser.fill("[aria-label$=' 0']", "2.5").await;
    browser.fill("[aria-label$=' 1']", "-1").await;
    browser.click("#send").await;
    browser.until("document.querySelectorAll('.bar').length === 3").await;
    let signature: Value = serving.client().get("/v2/models/classifier").json();
    let input = signature["inputs"][0]["name"].as_str().unwrap();
    let answer = serving
        .client()
        .post("/v2/models/classifier/infer", &one_input(input, "FP32", "[1, 2]", "[2.5, -1]"))
        .json();
    let scores =
        answer["outputs"].as_array().unwrap().iter().find(|output| output["datatype"] == "FP32").unwrap();
    let scores: Vec<f64> = serde_json::from_value(scores["data"].clone()).unwrap();
    let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    let label = ["10", "20", "30"][best];
    assert_eq!(browser.value(&texts(".bar.best b")).await, json!([label]));
    assert!(browser.screenshot(&picture("classifier")).await > 10_000, "there is something to see");

    browser.fill("[aria-label$=' 1']", "many").await;
    browser.click("#send").await;
    browser.until("document.querySelector('#answer .error') !== null").await;
    assert_eq!(browser.value(&texts("#answer .error")).await, json!(["\"many\" is no number"]));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curves_of_a_training_are_shown_and_a_script_in_them_does_nothing() {
    let curves = "<svg xmlns='http://www.w3.org/2000/svg' width='320' height='200' onload='document.title=1'>\
                  <script>document.title = 'run'; parent.document.title = 'run'; fetch('/v2/models')</script>\
                  <rect width='320' height='200' fill='#1f6feb'/></svg>";
    let registry = Program::registry("").await;
    let run = Run::of(&registry.host(), Task::Classification, "classifier", &digits());
    run.write("curves.svg", curves);
    let report = run.publish().await.unwrap();
    let (serving, _volume) = publishing::served(&report, "network").await;

    let answer = serving.client().get("/curves.svg");
    assert_eq!((answer.status, answer.body.as_str()), (200, curves), "the bytes of the artifact");
    assert_eq!(answer.headers["content-type"], "image/svg+xml");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let policy = &answer.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && policy.ends_with("sandbox"), "{policy}");

    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", serving.http)).await;
    browser.until("document.querySelector('#curves img')?.naturalWidth === 320").await;
    assert_eq!(browser.value("document.getElementById('training').hidden").await, false);
    assert_eq!(browser.value("document.title").await, "network 1", "nothing in the picture runs");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    // By itself, too.
    browser.open(&format!("http://{}/curves.svg", serving.http)).await;
    browser.until("document.readyState === 'complete' && document.querySelector('rect') !== null").await;
    assert_eq!(browser.value("document.title").await, "");
    browser.close().await;

    let other = Serving::model("linear", &[]);
    let answer = other.client().get("/curves.svg");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("no curves"), "{}", answer.body);
}
