//! Schemas of the contract's words, which have none of their own: the contract knows no Kubernetes.

use modelwright_contract::training::Metric;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The bound is for the API server, which estimates the cost of rules by it.
fn one_of<const N: usize>(words: [&str; N]) -> Schema {
    let longest = words.iter().map(|word| word.len()).max();
    json_schema!({"type": "string", "enum": words.to_vec(), "maxLength": longest})
}

pub fn task_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Classification", "Regression"])
}

pub fn format_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["CSV", "NPZ", "Parquet", "Images"])
}

pub fn inputs_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Columns", "Matrix"])
}

pub fn split_by_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Random", "Time"])
}

pub fn column_type_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Number", "Integer", "Text"])
}

pub fn strategy_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Mean", "Median", "MostFrequent", "Constant"])
}

pub fn method_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Standard", "MinMax", "Robust"])
}

pub fn metric_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(Metric::ALL.map(Metric::name))
}

pub fn goal_schema(_: &mut SchemaGenerator) -> Schema {
    one_of(["Maximize", "Minimize"])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::training::{
        ColumnType, DataFormat, Goal, ImputeStrategy, ScaleMethod, SplitBy, TableInputs, Task,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;

    fn all_are_read<T: DeserializeOwned + Serialize>(schema: fn(&mut SchemaGenerator) -> Schema) {
        let schema = schema(&mut SchemaGenerator::default());
        for word in schema.get("enum").and_then(Value::as_array).unwrap() {
            let read: T = serde_json::from_value(word.clone()).unwrap();
            assert_eq!(&serde_json::to_value(read).unwrap(), word);
        }
    }

    #[test]
    fn every_word_of_the_schema_is_one_of_the_contract() {
        all_are_read::<Task>(task_schema);
        all_are_read::<DataFormat>(format_schema);
        all_are_read::<TableInputs>(inputs_schema);
        all_are_read::<SplitBy>(split_by_schema);
        all_are_read::<ColumnType>(column_type_schema);
        all_are_read::<ImputeStrategy>(strategy_schema);
        all_are_read::<ScaleMethod>(method_schema);
        all_are_read::<Metric>(metric_schema);
        all_are_read::<Goal>(goal_schema);
    }
}
