//! The page for people, in a real browser; and the OpenAPI document.

use std::{fs, path::Path};

use modelwright_contract::training::Task;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    browser::Browser,
    onnx::{self, FLOAT, node, value},
    programs::Program,
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
    let (serving, _volume) = Serving::published(&report, "classifier").await;

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
    let (serving, _volume) = Serving::published(&report, "network").await;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_shown_as_text_whatever_it_is() {
    let name = "<!--<script>document.title = 'run' & \u{2028}\"<b>";
    let path = crate::session::model("linear");
    let serving = Serving::at(&path, name, &[]);
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", serving.http)).await;
    browser.until("!document.getElementById('ask').hidden").await;
    assert_eq!(browser.value("document.getElementById('name').textContent").await, name);
    assert_eq!(browser.value("document.scripts.length").await, 2, "the facts and the page's own script");
    browser.click("#send").await;
    browser.until("document.getElementById('answer').children.length > 0").await;
    assert_eq!(browser.value(&texts("#answer .error")).await, json!([]), "the path of any name is right");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_square_of_numbers_is_drawn_with_the_mouse() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = [
        node("Identity", &["pixels"], &["same"], &[]),
        value(11, "pixels", FLOAT, &[0, 8, 8]),
        value(12, "same", FLOAT, &[0, 8, 8]),
    ];
    fs::write(&path, onnx::model(&graph)).unwrap();
    let serving = Serving::at(&path, "drawing", &[]);
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", serving.http)).await;
    browser.until("!document.getElementById('ask').hidden").await;
    browser.draw("canvas", (0.1, 0.56), (0.9, 0.56)).await;
    browser.click("#send").await;
    browser.until("document.querySelectorAll('.bar').length === 64").await;
    let seen: Vec<String> = serde_json::from_value(browser.value(&texts(".bar code")).await).unwrap();
    let seen: Vec<f64> = seen.iter().map(|text| text.parse().unwrap()).collect();
    let row = |number: usize| seen[8 * number..8 * number + 8].iter().sum::<f64>();
    assert!(row(4) > 255.0 && row(0) == 0.0 && row(7) == 0.0, "a line in the fifth row: {seen:?}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

#[test]
fn the_page_comes_with_a_policy_and_names_nothing_from_elsewhere() {
    let serving = Serving::model("linear", &[]);
    let answer = serving.client().get("/");
    let policy = answer.headers.get("content-security-policy").cloned().unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    let page = answer.body;
    assert!(!page.contains("src=") && !page.contains("//cdn") && !page.contains("https://"), "{page}");
}

#[test]
fn the_openapi_document_names_paths_that_answer_and_the_models_own_tensors() {
    let serving = Serving::model("two_in_two_out", &[]);
    let document = serving.client().get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut asked = 0;
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let answer =
                if method == "get" { serving.client().get(path) } else { serving.client().post(path, "{}") };
            let expected = if method == "get" { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{method} {path}");
            asked += 1;
        }
    }
    assert_eq!(asked, 8);
    let signature = serving.client().get("/v2/models/two_in_two_out").json();
    for (schema, part, tensors) in [("Request", "inputs", "inputs"), ("Response", "outputs", "outputs")] {
        let described = &document["components"]["schemas"][schema]["properties"][part]["items"]["oneOf"];
        let described = described.as_array().unwrap();
        for (described, tensor) in described.iter().zip(signature[tensors].as_array().unwrap()) {
            let properties = &described["properties"];
            assert_eq!(properties["name"]["const"], tensor["name"]);
            assert_eq!(properties["datatype"]["const"], tensor["datatype"]);
            let sizes = properties["shape"]["prefixItems"].as_array().unwrap();
            assert_eq!(sizes.len(), tensor["shape"].as_array().unwrap().len());
        }
        assert_eq!(described.len(), 2);
    }
}
