//! What must hold of training data, how its columns are prepared and its rows parted. In goes what a user wrote, out comes
//! what the containers are told; problems are told by the path of the field. Pure.

use std::collections::BTreeSet;

use modelwright_contract::training::{
    Checks, ColumnCheck, ColumnType, ImputeStrategy, Preparation, Split, SplitBy, Task,
};

use crate::{api::training as written, decimal::Decimal};

const DEFAULT_VALIDATION: &str = "0.1";
const DEFAULT_TEST: &str = "0.2";
const DEFAULT_SEED: u32 = 0;

pub(super) fn validate_checks(checks: &written::Checks, task: Task, problems: &mut Vec<String>) -> Checks {
    let field = "spec.training.checks";
    if let (Some(min), Some(max)) = (checks.min_rows, checks.max_rows)
        && min > max
    {
        problems.push(format!(
            "{field}.minRows is {min} and {field}.maxRows is {max}; expected minRows to be at most maxRows"
        ));
    }
    for (name, text) in [
        ("maxMissingFraction", &checks.max_missing_fraction),
        ("maxDuplicateFraction", &checks.max_duplicate_fraction),
        ("minClassFraction", &checks.min_class_fraction),
    ] {
        check_share(&format!("{field}.{name}"), text.as_deref(), problems);
    }
    if checks.min_class_fraction.is_some() && task == Task::Regression {
        problems.push(format!(
            "{field}.minClassFraction applies to a Classification; a Regression has no labels to count: remove it"
        ));
    }
    let mut names = BTreeSet::new();
    for (at, column) in checks.columns.iter().enumerate() {
        let field = format!("{field}.columns[{at}]");
        if !names.insert(column.name.as_str()) {
            problems.push(format!("{field}.name `{}` is there twice; merge both into one", column.name));
        }
        check_column(&field, column, problems);
    }
    Checks {
        min_rows: checks.min_rows,
        max_rows: checks.max_rows,
        max_missing_fraction: checks.max_missing_fraction.clone(),
        max_duplicate_fraction: checks.max_duplicate_fraction.clone(),
        min_class_fraction: checks.min_class_fraction.clone(),
        columns: checks.columns.iter().map(column_check).collect(),
    }
}

fn check_column(field: &str, column: &written::ColumnCheck, problems: &mut Vec<String>) {
    if column.name.is_empty() {
        problems.push(format!("{field}.name is empty; name the column"));
    }
    check_share(&format!("{field}.maxMissingFraction"), column.max_missing_fraction.as_deref(), problems);
    let is_text = column.type_ == Some(ColumnType::Text);
    let mut read = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        if is_text {
            problems.push(format!(
                "{field}.{name} is {text}, and {field}.type is Text; bounds are for Number and Integer: remove one of both"
            ));
        }
        read_decimal(&format!("{field}.{name}"), text, problems)
    };
    let (min, max) = (read("min", &column.min), read("max", &column.max));
    check_order(field, min, max, problems);
}

fn column_check(column: &written::ColumnCheck) -> ColumnCheck {
    ColumnCheck {
        name: column.name.clone(),
        type_: column.type_,
        min: column.min.clone(),
        max: column.max.clone(),
        allowed: column.allowed.clone(),
        max_missing_fraction: column.max_missing_fraction.clone(),
    }
}

pub(super) fn validate_preprocess(
    steps: &[written::Preparation],
    label: &str,
    problems: &mut Vec<String>,
) -> Vec<Preparation> {
    let mut valid = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let field = format!("spec.training.preprocess[{at}]");
        let made: Vec<_> = [
            step.impute.as_ref().map(|impute| {
                check_fill_value(&field, impute, problems);
                Preparation::Impute {
                    strategy: impute.strategy,
                    fill_value: impute.fill_value.clone(),
                    columns: columns(&format!("{field}.impute"), &impute.columns, label, problems),
                }
            }),
            step.scale.as_ref().map(|scale| Preparation::Scale {
                method: scale.method,
                columns: columns(&format!("{field}.scale"), &scale.columns, label, problems),
            }),
            step.one_hot.as_ref().map(|encode| Preparation::OneHot {
                columns: columns(&format!("{field}.oneHot"), &encode.columns, label, problems),
            }),
            step.ordinal.as_ref().map(|encode| Preparation::Ordinal {
                columns: columns(&format!("{field}.ordinal"), &encode.columns, label, problems),
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if made.len() != 1 {
            problems.push(format!(
                "{field} has {} of impute, scale, oneHot and ordinal; expected exactly one: make a step of each",
                made.len()
            ));
        }
        valid.extend(made);
    }
    valid
}

fn check_fill_value(field: &str, impute: &written::Impute, problems: &mut Vec<String>) {
    match (impute.strategy, &impute.fill_value) {
        (ImputeStrategy::Constant, None) => problems.push(format!(
            "{field}.impute.fillValue is missing; strategy Constant needs the value to fill in, as text"
        )),
        (ImputeStrategy::Constant, Some(_)) | (_, None) => {}
        (_, Some(value)) => problems.push(format!(
            "{field}.impute.fillValue `{value}` applies to strategy Constant only; remove it or choose Constant"
        )),
    }
}

fn columns(field: &str, names: &[String], label: &str, problems: &mut Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name == label {
            problems.push(format!(
                "{field}.columns names `{name}`, which is spec.training.data.label; the label is not prepared: remove it"
            ));
        }
        if !seen.insert(name) {
            problems.push(format!("{field}.columns names `{name}` twice; name each column once"));
        }
    }
    names.to_vec()
}

pub(super) fn validate_split(
    split: &written::Split,
    data: &written::TrainingData,
    task: Task,
    problems: &mut Vec<String>,
) -> Split {
    let field = "spec.training.split";
    let mut read = |name: &str, text: &Option<String>, default: &str| {
        let field = format!("{field}.{name}");
        let text = text.clone().unwrap_or_else(|| default.to_owned());
        let share = read_decimal(&field, &text, problems);
        let inside = share.filter(|share| *share > Decimal::ZERO && *share < Decimal::ONE);
        if share.is_some() && inside.is_none() {
            problems.push(format!(
                "{field} is {text}; expected a share between 0 and 1, for example \"{default}\""
            ));
        }
        (text, inside)
    };
    let (validation, validation_share) = read("validation", &split.validation, DEFAULT_VALIDATION);
    let is_apart = data.test.is_some();
    let (test, test_share) = match &split.test {
        None if is_apart => (None, None),
        written => {
            let (text, share) = read("test", written, DEFAULT_TEST);
            (Some(text), share)
        }
    };
    if let (true, Some(test)) = (is_apart, &test) {
        problems.push(format!(
            "{field}.test is {test}, a share of the data, and spec.training.data.test is a test set of its own; remove one of both"
        ));
    }
    if let (Some(validation_share), Some(test_share)) = (validation_share, test_share)
        && validation_share.plus(test_share) >= Decimal::ONE
    {
        problems.push(format!(
            "{field}.validation is {validation} and {field}.test is {}; together they must stay below 1, so that rows are left to train on",
            test.as_deref().unwrap_or_default()
        ));
    }
    if split.stratify == Some(true) && task == Task::Regression {
        problems.push(format!(
            "{field}.stratify is true; a Regression has no labels to keep in shares: remove it"
        ));
    }
    let by = validate_split_by(field, split, data, problems);
    let in_order = by == Some(SplitBy::Time);
    Split {
        by,
        validation,
        test,
        seed: split.seed.unwrap_or(DEFAULT_SEED),
        stratify: split.stratify.unwrap_or(task == Task::Classification && !in_order),
    }
}

/// Windows are in their order, and what is in order cannot be chosen by label.
fn validate_split_by(
    field: &str,
    split: &written::Split,
    data: &written::TrainingData,
    problems: &mut Vec<String>,
) -> Option<SplitBy> {
    if data.window.is_some() && split.by == Some(SplitBy::Random) {
        problems.push(format!(
            "{field}.by is Random, and spec.training.data.window needs rows in their order; set it to Time or remove it"
        ));
    }
    let by = if data.window.is_some() { Some(SplitBy::Time) } else { split.by };
    if by == Some(SplitBy::Time) && split.stratify == Some(true) {
        problems.push(format!(
            "{field}.stratify is true, and rows that are parted by time cannot be chosen by label; remove stratify, or part at random"
        ));
    }
    by
}

/// The value of a decimal string, its problem told by the path of the field.
pub(super) fn read_decimal(field: &str, text: &str, problems: &mut Vec<String>) -> Option<Decimal> {
    Decimal::parse(text).map_err(|error| problems.push(format!("{field} {error}"))).ok()
}

pub(super) fn check_order(
    field: &str,
    min: Option<Decimal>,
    max: Option<Decimal>,
    problems: &mut Vec<String>,
) {
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        problems
            .push(format!("{field}.min is {min} and {field}.max is {max}; expected min to be at most max"));
    }
}

pub(super) fn check_share(field: &str, text: Option<&str>, problems: &mut Vec<String>) {
    let Some(text) = text else { return };
    let share = read_decimal(field, text, problems);
    if share.is_some_and(|share| share < Decimal::ZERO || share > Decimal::ONE) {
        problems.push(format!("{field} is {text}; expected a share from 0 to 1, for example \"0.05\""));
    }
}
