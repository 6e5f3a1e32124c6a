//! Data that nothing can be learnt from, as the trainer meets it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::table::{End::Failed, Row, row};
use crate::harness::{
    Space,
    datasets::{self, training},
    registry::hex,
    resources::merge,
};

/// Rows of a file: enough for every part of the split.
const ROWS: usize = 60;

/// Lines of a CSV below its names.
fn csv(names: &str, line: impl Fn(usize) -> String) -> String {
    (0..ROWS).fold(format!("{names}\n"), |mut text, number| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{}", line(number));
        text
    })
}

struct Files<'a> {
    space: &'a Space,
    rows: Vec<Row>,
}

impl Files<'_> {
    /// A training on a file with the label `y`.
    async fn on(
        &mut self,
        name: &str,
        content: impl AsRef<[u8]>,
        change: Value,
        reason: &'static str,
        words: &[&str],
    ) {
        let file = format!("{name}.csv");
        let uri = self.space.serve_bytes(&file, content.as_ref().to_vec()).await;
        let mut spec = training(json!({
            "data": {"uri": uri, "label": "y"}, "candidates": [{"name": "tree", "algorithm": "DecisionTree"}],
        }));
        merge(&mut spec, change);
        self.rows.push(row(datasets::model(name, spec), Failed(reason), words.iter().copied()));
    }
}

/// Every row, with its file where it can be fetched.
pub async fn rows(space: &Space) -> Vec<Row> {
    let mut files = Files { space, rows: Vec::new() };
    unreadable(&mut files).await;
    labels(&mut files).await;
    values(&mut files).await;
    files.rows
}

fn good() -> String {
    csv("a,b,y", |at| format!("{at},{},{}", at * 3 % 7, at % 2))
}

async fn unreadable(files: &mut Files<'_>) {
    let none = json!({});
    let rows = [
        ("no-file", String::new(), "NoData", vec!["no-file.csv", "holds no data"]),
        ("no-rows", "a,y\n".to_owned(), "NoRows", vec!["no-rows.csv", "no row of data"]),
        ("binary", "\u{0}\u{1}\u{2}".to_owned(), "UnreadableData", vec!["binary.csv", "so this is no text"]),
        (
            "ragged",
            good() + "1,2\n",
            "UnreadableData",
            vec!["ragged.csv", "line 62 has 2 values for 3 columns", "RFC 4180"],
        ),
        ("quote", good() + "1,\"2,0\n", "UnreadableData", vec!["quote.csv", "line 62"]),
        (
            "same-names",
            good().replacen("a,b,y", "a,a,y", 1),
            "UnreadableData",
            vec!["same-names.csv", "two columns have the name 'a'"],
        ),
        (
            "semicolons",
            good().replace(',', ";"),
            "NoLabelColumn",
            vec!["data.label is 'y'", "not separated by commas", "comma-separated"],
        ),
        (
            "only-label",
            csv("y", |at| (at % 2).to_string()),
            "NoFeatures",
            vec!["no column but the label 'y'"],
        ),
    ];
    for (name, content, reason, words) in rows {
        files.on(name, content, none.clone(), reason, &words).await;
    }
    let parquet = json!({"data": {"format": "Parquet"}});
    files.on("parquet", good(), parquet, "UnreadableData", &["parquet.csv", "Parquet"]).await;
    let pin = json!({"data": {"sha256": hex("other bytes")}});
    let found = hex(good());
    files.on("pin", good(), pin, "DigestMismatch", &[&hex("other bytes"), &found, "correct `sha256`"]).await;
}

async fn labels(files: &mut Files<'_>) {
    let misspelt = json!({"data": {"label": "yy"}});
    files
        .on(
            "label",
            good(),
            misspelt,
            "NoLabelColumn",
            &["data.label is 'yy'", "among a, b, y", "did you mean 'y'?"],
        )
        .await;
    let one = csv("a,y", |at| format!("{at},1"));
    files
        .on(
            "one-class",
            one,
            json!({}),
            "OneClass",
            &["data.label 'y' is 1 in all 60 rows", "two different labels"],
        )
        .await;
    let gap = csv("a,y", |at| if at == 4 { format!("{at},") } else { format!("{at},{}", at % 2) });
    files
        .on("gap", gap, json!({}), "MissingLabel", &["data.label 'y' is missing in 1 of 60 rows", "row 5"])
        .await;
    let parts = csv("a,y", |at| format!("{at},{at}.5"));
    files
        .on("fractions", parts, json!({}), "InvalidLabel", &["no whole numbers, such as 0.5", "Regression?"])
        .await;
    let words = csv("a,y", |at| format!("{at},w{at}"));
    let regression = json!({"task": "Regression"});
    files
        .on(
            "words",
            words,
            regression,
            "InvalidLabel",
            &["data.label 'y' is text", "a Regression needs numbers"],
        )
        .await;
    let rare = csv("a,y", |at| format!("{at},{}", u8::from(at == 9)));
    files.on("rare", rare, json!({}), "ClassTooSmall", &["label 1 has 1 rows", "split.stratify false"]).await;
    files.on("few", "a,y\n1,0\n2,1\n", json!({}), "TooFewRows", &["there are 2 rows", "split"]).await;
}

async fn values(files: &mut Files<'_>) {
    let algorithm = |name: &str, more: Value| {
        let mut candidate = json!({"name": "one", "algorithm": name});
        merge(&mut candidate, more);
        json!({"candidates": [candidate]})
    };
    let gaps = csv("a,b,y", |at| format!("{at},{},{}", if at == 6 { "NaN" } else { "2" }, at % 2));
    files.on("nan", gaps, algorithm("SVM", json!({})), "MissingValues", &["'b'", "impute"]).await;
    let text = csv("a,b,y", |at| format!("{at},{},{}", if at == 6 { "six" } else { "2" }, at % 2));
    files.on("text", text, json!({}), "TextColumn", &["'b'", "'six'", "row 7", "oneHot"]).await;
    let huge = csv("a,b,y", |at| format!("{at},1e300,{}", at % 2));
    files
        .on("huge", huge, json!({}), "NotFinite", &["column 'b'", "FP32 cannot hold", "remove or mend them"])
        .await;
    let names = (0..300).map(|number| format!("c{number}")).collect::<Vec<_>>().join(",");
    let wide = csv(&format!("{names},y"), |at| format!("{}{}", format!("t{at},").repeat(300), at % 2));
    files
        .on(
            "columns",
            wide,
            json!({}),
            "TooManyColumns",
            &["there are 300 columns", "at most 256", "remove columns"],
        )
        .await;
    let output = good().replacen("a,b,y", "label,b,y", 1).replace(",3,", ",x,");
    files.on("output", output, json!({}), "UnsupportedColumn", &["column 'label'", "rename it"]).await;
    let checks = json!({"checks": {"minRows": 5000, "columns": [{"name": "a", "max": "10"}]}});
    files
        .on(
            "checks",
            good(),
            checks,
            "ChecksFailed",
            &[
                "2 checks",
                "checks.minRows is 5000, and there are 60 rows",
                "checks.columns[0].max is 10",
                "as far as 59",
            ],
        )
        .await;
    let step = json!({"preprocess": [{"scale": {"method": "Standard", "columns": ["aa"]}}]});
    files.on("step", good(), step, "InvalidPreparation", &["preprocess[0]", "'aa'"]).await;
    let value = algorithm("DecisionTree", json!({"parameters": {"max_depth": -3}}));
    files.on("value", good(), value, "InvalidParameter", &["candidates[0].parameters.max_depth", "-3"]).await;
}
