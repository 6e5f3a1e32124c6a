//! What the rows of training data are. In goes what a user wrote, out comes what the containers are told; problems are told
//! by the path of the field. Pure.

use modelwright_contract::{
    names::{SOURCE_DIRECTORY, TEST_DIRECTORY},
    training::{DataFormat, Images, RunData, Sequences, Task, TestData, Text, Window},
};

use crate::api::training as written;

/// Largest side of an image, and the channels that one may have.
const MAX_SIDE: u32 = 4096;
const CHANNELS: [u32; 3] = [1, 3, 4];

/// Parses what the rows of a training are.
pub(super) fn validate_data(training: &written::Training, problems: &mut Vec<String>) -> RunData {
    let data = &training.data;
    let field = "spec.training.data";
    let kind = check_rows(data, field, problems);
    if let Some(kind) = kind.filter(|_| !training.preprocess.is_empty()) {
        problems.push(format!(
            "spec.training.preprocess is for the columns of a table, and {field} has {kind}; remove it, and give a network layers such as Rescaling or BatchNormalization"
        ));
    }
    check_window(data, [field, "spec.training.task"], training.task, problems);
    run_data(data)
}

/// Checks what the rows are whose description is at the path `field`, and says of which kind, if they are of one.
pub(super) fn check_rows(
    data: &written::TrainingData,
    field: &str,
    problems: &mut Vec<String>,
) -> Option<&'static str> {
    let kind = check_kind(data, field, problems);
    if let Some(images) = &data.images {
        check_images(images, field, problems);
    }
    if let Some(sequences) = &data.sequences {
        check_sequences(sequences, data, field, problems);
    }
    if let Some(text) = &data.text
        && text.column.as_ref() == Some(&data.label)
    {
        problems.push(format!(
            "{field}.text.column is `{}`, which is {field}.label; name the column with the text",
            data.label
        ));
    }
    kind
}

pub(super) fn check_window(
    data: &written::TrainingData,
    [field, task_field]: [&str; 2],
    task: Task,
    problems: &mut Vec<String>,
) {
    let Some(window) = &data.window else { return };
    if window.past == 0 || window.horizon == Some(0) {
        problems.push(format!("{field}.window.past and horizon count rows; expected 1 or more"));
    }
    if task != Task::Regression {
        problems.push(format!(
            "{field}.window predicts a number, the label some rows ahead, and {task_field} is {task:?}; expected Regression"
        ));
    }
}

/// What the containers are told.
pub(super) fn run_data(data: &written::TrainingData) -> RunData {
    let images = data.images.as_ref().map(|images| Images {
        height: images.height,
        width: images.width,
        channels: images.channels,
    });
    RunData {
        directory: SOURCE_DIRECTORY.into(),
        format: data.format,
        label: data.label.clone(),
        inputs: data.inputs,
        images: images.or_else(|| (data.format == DataFormat::Images).then(Images::default)),
        sequences: data.sequences.as_ref().map(|sequences| Sequences {
            id: sequences.id.clone(),
            order: sequences.order.clone(),
            max_length: sequences.max_length,
        }),
        text: data.text.as_ref().map(|text| Text { column: text.column.clone() }),
        window: data.window.as_ref().map(|window| Window { past: window.past, horizon: window.horizon }),
        test: data.test.as_ref().map(|_| TestData { directory: TEST_DIRECTORY.into() }),
    }
}

/// Whether the rows are of one kind, which the format has, and of which one.
fn check_kind(data: &written::TrainingData, field: &str, problems: &mut Vec<String>) -> Option<&'static str> {
    let (format, is_table) = (data.format, matches!(data.format, DataFormat::Csv | DataFormat::Parquet));
    let kinds: Vec<&'static str> = [
        ("images", data.images.is_some() || data.format == DataFormat::Images),
        ("sequences", data.sequences.is_some()),
        ("text", data.text.is_some()),
        ("window", data.window.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    if kinds.len() > 1 {
        problems.push(format!(
            "{field} has {}; a row is of one kind: expected at most one of images, sequences, text and window",
            kinds.join(" and ")
        ));
        return None;
    }
    let kind = kinds.first().copied();
    match kind {
        Some("images") if is_table => problems.push(format!(
            "{field}.images goes with format NPZ or Images, and {field}.format is {}; choose one of them",
            name_of(format)
        )),
        Some(kind @ ("text" | "window")) if !is_table => problems.push(format!(
            "{field}.{kind} is of a table, and {field}.format is {}; expected CSV or Parquet",
            name_of(format)
        )),
        _ => {}
    }
    if let Some(inputs) = data.inputs
        && !(is_table && kind.is_none())
    {
        let what = match kind {
            Some(kind) => format!("{field}.{kind} is one input already"),
            None => format!("{field}.format is {}, which is one input already", name_of(format)),
        };
        problems.push(format!(
            "{field}.inputs is {inputs:?}, for tables of CSV and Parquet, and {what}; remove it"
        ));
    }
    kind
}

fn check_images(images: &written::Images, field: &str, problems: &mut Vec<String>) {
    match (images.height, images.width) {
        (Some(height), None) => problems.push(format!(
            "{field}.images.height is {height}, and width is missing; set both, or neither to keep the size"
        )),
        (None, Some(width)) => problems.push(format!(
            "{field}.images.width is {width}, and height is missing; set both, or neither to keep the size"
        )),
        _ => {}
    }
    for (name, value) in [("height", images.height), ("width", images.width)] {
        if let Some(value) = value.filter(|value| !(1..=MAX_SIDE).contains(value)) {
            problems.push(format!("{field}.images.{name} is {value}; expected 1 to {MAX_SIDE}"));
        }
    }
    if let Some(channels) = images.channels.filter(|channels| !CHANNELS.contains(channels)) {
        problems
            .push(format!("{field}.images.channels is {channels}; expected 1 (grey), 3 (RGB) or 4 (RGBA)"));
    }
}

fn check_sequences(
    sequences: &written::Sequences,
    data: &written::TrainingData,
    of: &str,
    problems: &mut Vec<String>,
) {
    let field = format!("{of}.sequences");
    match (&sequences.id, &sequences.order) {
        (Some(one), None) | (None, Some(one)) => {
            let (has, lacks) = if sequences.id.is_some() { ("id", "order") } else { ("order", "id") };
            problems.push(format!(
                "{field}.{has} is `{one}`, and {lacks} is missing; a long table needs both columns"
            ));
        }
        (Some(id), Some(order)) if id == order => problems.push(format!(
            "{field}.id and order are both `{id}`; expected two columns: which sequence, and which step of it"
        )),
        (Some(id), Some(order)) => {
            if data.format == DataFormat::Npz {
                problems.push(format!(
                    "{field}.id `{id}` names a column, and {of}.format is NPZ, which has none; remove id and order"
                ));
            }
            for (name, column) in [("id", id), ("order", order)] {
                if *column == data.label {
                    problems.push(format!("{field}.{name} is `{column}`, which is {of}.label; name another column"));
                }
            }
        }
        (None, None) if data.format == DataFormat::Csv => problems.push(format!(
            "{field} of CSV needs id and order, the columns that say which rows are a sequence; set both, or use NPZ or Parquet"
        )),
        (None, None) => {}
    }
}

fn name_of(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Csv => "CSV",
        DataFormat::Npz => "NPZ",
        DataFormat::Parquet => "Parquet",
        DataFormat::Images => "Images",
    }
}
