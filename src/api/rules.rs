//! Rules that several parts of a spec share. In goes the path of the field that the rule is on; out comes the rule, whose message
//! names it. The API server evaluates them where a spec is written.

use kube::core::Rule;

/// Metrics of a Regression; all others are those of a Classification.
const OF_REGRESSION: &str = "['MeanSquaredError', 'MeanAbsoluteError', 'R2']";

fn rule(expression: &str, message: &str) -> Rule {
    Rule::new(expression).message(message)
}

/// An address has a scheme that is known, and a host, bucket or claim.
pub fn has_a_scheme(field: &str, example: &str) -> Rule {
    rule(
        "self.uri.matches('^(oci|s3|https|http|pvc)://[^/]+')",
        &format!(
            "{field}.uri must start with oci://, s3://, https://, http:// or pvc:// and name a host, bucket or claim, for example s3://bucket/{example}"
        ),
    )
}

/// An address has a path, where a bucket or a claim alone says nothing.
pub fn has_a_path(field: &str, example: &str) -> Rule {
    rule(
        "self.uri.startsWith('oci://') || self.uri.startsWith('http') || self.uri.matches('^(s3|pvc)://[^/]+/.+')",
        &format!(
            "{field}.uri must name a path behind the bucket or claim, for example s3://bucket/{example} or pvc://claim/{example}"
        ),
    )
}

/// What lies in a claim is asked for by nobody's name.
pub fn has_no_credentials_of_a_claim(field: &str) -> Rule {
    rule(
        "!self.uri.startsWith('pvc://') || !has(self.credentialsSecret)",
        &format!("{field}.credentialsSecret does not apply to a pvc:// address; remove it"),
    )
}

/// A row is of one kind.
pub fn has_one_kind_of_rows(field: &str) -> Rule {
    rule(
        "[has(self.images), has(self.sequences), has(self.text), has(self.window)].filter(given, given).size() <= 1",
        &format!(
            "{field} takes at most one of images, sequences, text and window; without any, a row is one of a table"
        ),
    )
}

/// A label some rows ahead is a number.
pub fn has_windows_of_a_regression(field: &str) -> Rule {
    rule(
        "!has(self.data.window) || self.task == 'Regression'",
        &format!(
            "{field}.data.window predicts a number, the label some rows ahead; set {field}.task to Regression"
        ),
    )
}

/// The metric at `path` of what is there where `given` is one of the task.
pub fn has_a_metric_of_its_task(field: &str, given: &str, path: &str) -> Rule {
    rule(
        &format!("{given} || (self.{path} in {OF_REGRESSION}) == (self.task == 'Regression')"),
        &format!(
            "{field}.{path} is one of the other task: MeanSquaredError, MeanAbsoluteError and R2 measure a Regression, all others a Classification; choose one that fits {field}.task"
        ),
    )
}

/// Gates are of metrics of the task.
pub fn has_gates_of_its_task(field: &str) -> Rule {
    rule(
        &format!(
            "!has(self.gates) || self.gates.all(gate, (gate.metric in {OF_REGRESSION}) == (self.task == 'Regression'))"
        ),
        &format!(
            "{field}.gates has a metric of the other task: MeanSquaredError, MeanAbsoluteError and R2 measure a Regression, all others a Classification; choose one that fits {field}.task"
        ),
    )
}
