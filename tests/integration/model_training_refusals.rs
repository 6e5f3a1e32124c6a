//! What is refused of `spec.training` before any pod: field, value, what was expected, what to do.

use modelwright::{api::Model, model::validate::validate_model};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{model, trained_model};

fn problems(model: &Model) -> Vec<String> {
    validate_model(model).unwrap_err().problems
}

/// One refusal, and only one, with all of these parts.
fn refuses(training: Value, parts: &[&str]) {
    let told = problems(&trained_model(training.clone(), 1));
    let [message] = told.as_slice() else { panic!("{training}: {told:#?}") };
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{training}: {message} lacks {missing:?}");
}

fn data(part: &str, value: &str) -> Value {
    let mut data = json!({"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"});
    data[part] = value.into();
    json!({"data": data})
}

fn candidate(algorithm: &str, parameters: Value) -> Value {
    json!({"candidates": [{"name": "one", "algorithm": algorithm, "parameters": parameters}]})
}

fn regression(mut training: Value) -> Value {
    training["task"] = "Regression".into();
    if training.get("candidates").is_none() {
        training["candidates"] = json!([{"name": "ridge", "algorithm": "Ridge"}]);
    }
    training
}

#[test]
fn a_model_is_imported_or_trained_and_never_both_or_neither() {
    let mut both = trained_model(json!({}), 1);
    both.spec.source = model("s3://b/a", 1).spec.source;
    assert!(problems(&both)[0].contains("spec.source and spec.training are both set"), "{both:?}");
    let mut neither = both.clone();
    (neither.spec.source, neither.spec.training) = (None, None);
    let told = problems(&neither);
    assert!(told[0].contains("neither") && told[0].contains("spec.training to train one"), "{told:?}");
}

#[test]
fn data_that_cannot_be_fetched_is_refused() {
    refuses(data("uri", "ftp://host/a.csv"), &["spec.training.data.uri", "`ftp://host/a.csv`", "oci://"]);
    refuses(data("uri", "s3://bucket"), &["spec.training.data.uri", "s3://bucket/digits.csv"]);
    refuses(data("uri", "pvc://claim/../x"), &["spec.training.data.uri", "pvc://claim/digits.csv", ".."]);
    refuses(data("uri", "https://a:b@host/x"), &["spec.training.data.credentialsSecret"]);
    refuses(data("uri", "https://host/a b.csv"), &["white space", "%20"]);
    refuses(data("sha256", "ABC"), &["spec.training.data.sha256", "`ABC`", "64 lower-case hex digits"]);
    refuses(data("credentialsSecret", "database"), &["spec.training.data.credentialsSecret", "modelwright-"]);
    refuses(data("label", " "), &["spec.training.data.label is empty", "column"]);
}

#[test]
fn a_trainer_is_the_library_or_an_own_image() {
    for (trainer, parts) in [
        (json!({}), ["spec.training.trainer", "neither library nor image", "ScikitLearn"]),
        (
            json!({"library": "ScikitLearn", "image": "mine:1"}),
            ["spec.training.trainer.library", "`mine:1`", "remove one"],
        ),
        (json!({"image": ""}), ["spec.training.trainer.image", "``", "registry.example.com"]),
        (json!({"image": "my image"}), ["spec.training.trainer.image", "`my image`", "white space"]),
        (
            json!({"library": "ScikitLearn", "command": ["python"]}),
            ["spec.training.trainer.command", "own image only", "spec.training.trainer.image"],
        ),
        (
            json!({"library": "ScikitLearn", "args": ["x"]}),
            ["spec.training.trainer.args", "own image only", "remove it"],
        ),
    ] {
        refuses(json!({"trainer": trainer}), &parts);
    }
}

#[test]
fn checks_that_no_data_can_pass_are_refused() {
    let column = |column: Value| json!({"checks": {"columns": [column]}});
    refuses(json!({"checks": {"minRows": 10, "maxRows": 5}}), &["minRows is 10", "maxRows is 5", "at most"]);
    refuses(
        json!({"checks": {"maxMissingFraction": "5"}}),
        &["spec.training.checks.maxMissingFraction is 5", "0 to 1", "0.05"],
    );
    refuses(
        json!({"checks": {"maxDuplicateFraction": "five"}}),
        &["spec.training.checks.maxDuplicateFraction", "`five`", "decimal string"],
    );
    refuses(json!({"checks": {"minClassFraction": "-0.1"}}), &["minClassFraction is -0.1", "0 to 1"]);
    refuses(
        regression(json!({"checks": {"minClassFraction": "0.1"}})),
        &["minClassFraction", "Classification", "remove it"],
    );
    refuses(
        column(json!({"name": "age", "min": "9", "max": "1"})),
        &["spec.training.checks.columns[0].min is 9", "max is 1"],
    );
    refuses(column(json!({"name": "age", "max": "old"})), &["columns[0].max", "`old`", "decimal string"]);
    refuses(
        column(json!({"name": "city", "type": "Text", "min": "1"})),
        &["columns[0].min is 1", "type is Text", "remove one"],
    );
    refuses(column(json!({"name": ""})), &["columns[0].name is empty"]);
    refuses(
        column(json!({"name": "a", "maxMissingFraction": "2"})),
        &["columns[0].maxMissingFraction is 2", "0 to 1"],
    );
    refuses(
        json!({"checks": {"columns": [{"name": "a"}, {"name": "a"}]}}),
        &["columns[1].name `a`", "twice", "merge"],
    );
}

#[test]
fn a_step_of_preparation_does_one_thing_to_features() {
    let steps = |step: Value| json!({"preprocess": [{"scale": {"method": "MinMax"}}, step]});
    refuses(steps(json!({})), &["spec.training.preprocess[1] has 0", "exactly one"]);
    refuses(
        steps(json!({"oneHot": {}, "ordinal": {}})),
        &["spec.training.preprocess[1] has 2", "exactly one", "a step of each"],
    );
    refuses(
        steps(json!({"impute": {"strategy": "Constant"}})),
        &["preprocess[1].impute.fillValue is missing"],
    );
    refuses(
        steps(json!({"impute": {"strategy": "Mean", "fillValue": "0"}})),
        &["preprocess[1].impute.fillValue `0`", "Constant"],
    );
    for (name, step) in [
        ("impute", json!({"impute": {"strategy": "Mean", "columns": ["digit"]}})),
        ("scale", json!({"scale": {"method": "Robust", "columns": ["digit"]}})),
        ("oneHot", json!({"oneHot": {"columns": ["digit"]}})),
        ("ordinal", json!({"ordinal": {"columns": ["digit"]}})),
    ] {
        refuses(
            steps(step),
            &[&format!("preprocess[1].{name}.columns"), "`digit`", "spec.training.data.label"],
        );
    }
    refuses(
        steps(json!({"oneHot": {"columns": ["a", "a"]}})),
        &["preprocess[1].oneHot.columns", "`a` twice"],
    );
}

#[test]
fn a_split_leaves_rows_for_every_part() {
    let split = |split: Value| json!({"split": split});
    refuses(split(json!({"test": "0"})), &["spec.training.split.test is 0", "between 0 and 1", "0.2"]);
    refuses(split(json!({"validation": "1"})), &["spec.training.split.validation is 1", "0.1"]);
    refuses(split(json!({"test": "20%"})), &["spec.training.split.test", "`20%`", "decimal string"]);
    refuses(
        split(json!({"validation": "0.5", "test": "0.5"})),
        &["split.validation is 0.5", "split.test is 0.5", "below 1"],
    );
    refuses(split(json!({"test": "0.9"})), &["split.validation is 0.1", "split.test is 0.9", "below 1"]);
    refuses(
        regression(split(json!({"stratify": true}))),
        &["split.stratify is true", "Regression", "remove it"],
    );
}

#[test]
fn an_algorithm_is_one_that_the_library_has_for_the_task() {
    refuses(
        candidate("RandomForrest", json!({})),
        &[
            "spec.training.candidates[0].algorithm `RandomForrest`",
            "did you mean `RandomForest`?",
            "LogisticRegression",
        ],
    );
    refuses(candidate("RandomForestClassifier", json!({})), &["did you mean `RandomForest`?"]);
    refuses(candidate("sklearn.svm.SVC", json!({})), &["did you mean `SVM`?"]);
    refuses(
        candidate("LinearRegression", json!({})),
        &["`LinearRegression`", "one for Regression", "spec.training.task is Classification"],
    );
    refuses(
        regression(candidate("LogisticRegression", json!({}))),
        &["one for Classification", "spec.training.task is Regression", "Lasso"],
    );
    refuses(candidate("XGBoost", json!({})), &["`XGBoost`", "expected one of DecisionTree"]);
    refuses(candidate("", json!({})), &["candidates[0].algorithm ``"]);
}

#[test]
fn parameters_are_the_librarys_own_and_small() {
    refuses(
        candidate("RandomForest", json!({"n_estimator": 5})),
        &["candidates[0].parameters.n_estimator", "did you mean `n_estimators`?", "max_depth"],
    );
    refuses(
        candidate("RandomForest", json!({"n_jobs": 5})),
        &["parameters.n_jobs is not a parameter of RandomForest", "bootstrap"],
    );
    refuses(
        candidate("MLP", json!({"hidden_layer_sizes": [[64]]})),
        &["parameters.hidden_layer_sizes[0]", "list inside a list"],
    );
    refuses(
        candidate("SVM", json!({"class_weight": {"a": 1}})),
        &["parameters.class_weight is a map", "one list"],
    );
    refuses(
        candidate("MLP", json!({"hidden_layer_sizes": vec![8; 17]})),
        &["hidden_layer_sizes has 17 values", "at most 16"],
    );
    refuses(
        candidate("SVM", json!({"kernel": "r".repeat(257)})),
        &["kernel is a string of 257 bytes", "256"],
    );
    let own = |parameters: Value| {
        let mut training = candidate("anything", parameters);
        training["trainer"] = json!({"image": "mine:1"});
        training
    };
    let many: serde_json::Map<_, _> = (0..60).map(|at| (format!("p{at}"), "x".repeat(200).into())).collect();
    refuses(own(many.into()), &["candidates[0].parameters has", "8192", "shorten"]);
    refuses(own(json!({"": 1})), &["a parameter's name has 1 to 256 bytes"]);
    validate_model(&trained_model(own(json!({"anything": [1, "a", null, true]})), 1)).unwrap();
}

#[test]
fn candidates_have_names_of_their_own() {
    let named = |names: &[&str]| {
        let all: Vec<_> = names.iter().map(|name| json!({"name": name, "algorithm": "SVM"})).collect();
        json!({"candidates": all})
    };
    refuses(named(&[]), &["spec.training.candidates is empty", "{name: forest, algorithm: RandomForest}"]);
    refuses(named(&["a", "b", "a"]), &["candidates[2].name `a`", "twice"]);
    for bad in ["", "Forest", "a_b", "-a", "a-", &"a".repeat(41)] {
        refuses(named(&[bad]), &["candidates[0].name", &format!("`{bad}`"), "lower-case letters"]);
    }
    let image = json!({"trainer": {"image": "mine:1"}, "candidates": []});
    validate_model(&trained_model(image, 1)).unwrap();
}

#[test]
fn selection_and_gates_measure_the_task() {
    let gate = |gate: Value| json!({"gates": [gate]});
    refuses(
        json!({"selection": {"metric": "R2"}}),
        &["spec.training.selection.metric R2", "Regression", "F1Macro"],
    );
    refuses(
        json!({"selection": {"metric": "LogLoss", "goal": "Maximize"}}),
        &["spec.training.selection.goal is Maximize", "LogLoss", "lower", "Minimize"],
    );
    refuses(json!({"selection": {"goal": "Minimize"}}), &["goal is Minimize", "F1Macro", "higher"]);
    refuses(gate(json!({"metric": "Accuracy"})), &["spec.training.gates[0] has no bound", "min: \"0.9\""]);
    refuses(
        gate(json!({"metric": "MeanSquaredError", "max": "1"})),
        &["spec.training.gates[0].metric MeanSquaredError", "Classification", "LogLoss"],
    );
    refuses(
        regression(gate(json!({"metric": "Accuracy", "min": "0.9"}))),
        &["gates[0].metric Accuracy", "Regression", "R2"],
    );
    refuses(gate(json!({"metric": "Accuracy", "min": "95"})), &["gates[0].min is 95", "from 0 to 1"]);
    refuses(gate(json!({"metric": "LogLoss", "max": "-1"})), &["gates[0].max is -1", "never below 0"]);
    refuses(
        regression(gate(json!({"metric": "R2", "min": "1.1"}))),
        &["gates[0].min is 1.1", "never above 1"],
    );
    refuses(
        gate(json!({"metric": "Accuracy", "min": "high"})),
        &["gates[0].min", "`high`", "decimal string"],
    );
    refuses(
        gate(json!({"metric": "Accuracy", "min": "0.9", "max": "0.8"})),
        &["gates[0].min is 0.9", "max is 0.8"],
    );
    refuses(
        json!({"gates": [{"metric": "Accuracy", "min": "0.5"}, {"metric": "Accuracy", "max": "0.9"}]}),
        &["gates[1].metric Accuracy", "twice", "one gate"],
    );
}

#[test]
fn what_needs_probabilities_is_refused_of_an_algorithm_that_gives_none() {
    let by = |algorithm: &str, parameters: Value, measured: Value| {
        let mut training = json!({"candidates": [
            {"name": "tree", "algorithm": "DecisionTree"},
            {"name": "other", "algorithm": algorithm, "parameters": parameters},
        ]});
        training.as_object_mut().unwrap().extend(measured.as_object().unwrap().clone());
        training
    };
    let selected = json!({"selection": {"metric": "LogLoss"}});
    let gated = json!({"gates": [{"metric": "Accuracy", "min": "0.5"}, {"metric": "LogLoss", "max": "1"}]});
    for (measured, place) in
        [(&selected, "spec.training.selection.metric"), (&gated, "spec.training.gates[1].metric")]
    {
        let whole = format!(
            "{place} LogLoss is measured of probabilities, and spec.training.candidates[1] `other` gives none: "
        );
        refuses(
            by("Ridge", json!({}), measured.clone()),
            &[&whole, "algorithm Ridge never does", "choose another metric or algorithm"],
        );
        refuses(
            by("SGD", json!({"loss": "hinge"}), measured.clone()),
            &[&whole, "algorithm SGD does with loss: log_loss or modified_huber", "set that"],
        );
        refuses(
            by("SVM", json!({"probability": false}), measured.clone()),
            &[&whole, "algorithm SVM does with probability: true", "set that"],
        );
        for (algorithm, parameters) in [
            ("SVM", json!({"probability": true})),
            ("SGD", json!({"loss": "modified_huber"})),
            ("MLP", json!({})),
            ("RandomForest", json!({})),
            ("LogisticRegression", json!({})),
        ] {
            validate_model(&trained_model(by(algorithm, parameters, measured.clone()), 1)).unwrap();
        }
        // what an image of one's own gives is not known
        let mut own = by("Ridge", json!({}), measured.clone());
        own["trainer"] = json!({"image": "mine:1"});
        validate_model(&trained_model(own, 1)).unwrap();
    }
    validate_model(&trained_model(by("Ridge", json!({}), json!({})), 1)).unwrap();
}

#[test]
fn resources_and_the_run_are_checked_too() {
    refuses(
        json!({"resources": {"limits": {"gpu": 1}}}),
        &["spec.training.resources.limits.gpu", "nvidia.com/gpu"],
    );
    refuses(
        json!({"resources": {"limits": {"memory": "2GB"}}}),
        &["spec.training.resources.limits.memory", "`2GB`", "64Mi"],
    );
    refuses(
        json!({"resources": {"requests": {"cpu": 4}, "limits": {"cpu": 2}}}),
        &["spec.training.resources.requests.cpu is 4", "at most", "which is 2"],
    );
    refuses(json!({"run": {"backoffLimit": -1}}), &["spec.training.run.backoffLimit is -1", "0 to 20"]);
    refuses(json!({"run": {"activeDeadlineSeconds": 0}}), &["activeDeadlineSeconds is 0", "1 or more"]);
    refuses(
        json!({"run": {"priorityClass": "high"}}),
        &["run.priorityClass `high`", "run.queueName", "spec.scheduling.priorityClassName"],
    );
    refuses(
        json!({"run": {"suspend": true, "queueName": "team-a"}}),
        &["run.suspend is true", "`team-a`", "remove one"],
    );
    validate_model(&trained_model(json!({"run": {"suspend": false, "queueName": "team-a"}}), 1)).unwrap();
}

#[test]
fn all_problems_of_a_training_are_told_at_once() {
    let mut wrong = trained_model(
        json!({
            "data": {"uri": "digits.csv", "format": "CSV", "label": ""},
            "split": {"test": "2"},
            "candidates": [{"name": "A", "algorithm": "Forest", "parameters": {}}],
            "gates": [{"metric": "R2"}],
        }),
        1,
    );
    wrong.metadata.name = Some("n".repeat(41));
    assert_eq!(problems(&wrong).len(), 8, "{:#?}", problems(&wrong));
}

#[test]
fn every_default_of_a_training_is_the_documented_one() {
    let of = |training: Value| {
        let valid = validate_model(&trained_model(training, 1)).unwrap();
        valid.training().unwrap().clone()
    };
    let told = of(json!({}));
    let config = serde_json::to_value(&told.config).unwrap();
    assert_eq!(config["split"], json!({"validation": "0.1", "test": "0.2", "seed": 0, "stratify": true}));
    assert_eq!(config["selection"], json!({"metric": "F1Macro", "goal": "Maximize"}));
    assert_eq!((told.backoff_limit, told.deadline_seconds, told.suspend), (2, 3600, false));
    assert_eq!(told.queue, None);
    let config = serde_json::to_value(&of(regression(json!({}))).config).unwrap();
    assert_eq!(config["split"]["stratify"], json!(false));
    assert_eq!(config["selection"], json!({"metric": "MeanSquaredError", "goal": "Minimize"}));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_training_panics(
        words in proptest::collection::vec(".{0,16}", 8), parameters in proptest::collection::btree_map(".{0,8}", any_json(), 0..4),
        seconds: i64, limit: i32, seed: u32,
    ) {
        let training = json!({
            "trainer": {"image": words[0], "args": [words[1]]},
            "data": {"uri": words[1], "format": "NPZ", "label": words[2], "sha256": words[3]},
            "checks": {"minRows": 1, "maxMissingFraction": words[4], "columns": [{"name": words[5], "min": words[6]}]},
            "preprocess": [{"oneHot": {"columns": [words[2]]}}],
            "split": {"test": words[3], "validation": words[4], "seed": seed},
            "candidates": [{"name": words[5], "algorithm": words[6], "parameters": parameters}],
            "gates": [{"metric": "Accuracy", "min": words[7]}],
            "resources": {"limits": {"cpu": words[0]}},
            "run": {"backoffLimit": limit, "activeDeadlineSeconds": seconds},
        });
        let own = trained_model(training.clone(), 1);
        let _ = validate_model(&own);
        let mut built_in = training;
        built_in["trainer"] = json!({"library": "ScikitLearn"});
        let _ = validate_model(&trained_model(built_in, 1));
        prop_assert_eq!(modelwright::model::spec_hash::spec_hash(&own), modelwright::model::spec_hash::spec_hash(&own));
    }
}
