//! The page for people, in a real browser; and the OpenAPI document.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    browser::Browser,
    onnx::{self, FLOAT, node, value},
    serving::Serving,
};

fn texts(selector: &str) -> String {
    format!("[...document.querySelectorAll('{selector}')].map(found => found.textContent)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_shown_as_text_whatever_it_is() {
    let name = "<!--<script>document.title = 'run' & \u{2028}\"<b>";
    let path = crate::support::models::model("linear");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_for_a_shell_asks_the_same_when_it_is_pasted() {
    let sizes_of_any = [
        node("Identity", &["x"], &["same"], &[]),
        value(11, "x", FLOAT, &[0, 0, 0]),
        value(12, "same", FLOAT, &[0, 0, 0]),
    ];
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, onnx::model(&sizes_of_any)).unwrap();
    let browser = Browser::start().await;
    for (path, name, field, typed) in [
        (crate::support::models::model("linear"), "it's $HOME & \"more\"", "[aria-label$=' 1']", "-2.5"),
        (path, "any", "textarea", "[-2.5]"),
    ] {
        let serving = Serving::at(&path, name, &[]);
        browser.open(&format!("http://{}/", serving.http)).await;
        browser.until("!document.getElementById('ask').hidden").await;
        let pasted = async || {
            let shown = browser.value("document.getElementById('curl').textContent").await;
            let output =
                std::process::Command::new("bash").args(["-c", shown.as_str().unwrap()]).output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            answer["outputs"].as_array().cloned().unwrap_or_else(|| panic!("{shown}: {answer}"))
        };
        let before = pasted().await;
        browser.fill(field, typed).await;
        assert_ne!(pasted().await, before, "what is filled in is asked");
    }
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
