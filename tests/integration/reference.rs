//! The page with every field of every kind, made from the definitions. `UPDATE_GOLDEN=1 cargo test golden` makes it anew.

use std::{fmt::Write as _, fs};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use modelwright::crds;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
const HEAD: &str = "# Reference

Every field of every resource, made from the definitions in `crds/` by `make generate`. `kubectl explain models.spec` and the
like say the same for the release in your cluster. **Bold** fields are mandatory. No field has a default in the definition,
so that no tool sees a difference: the operator applies the defaults that are named here.
";

/// Type and bounds of a field, in words.
fn shape(schema: &JSONSchemaProps) -> String {
    let range = |what: &str, least: Option<i64>, most: Option<i64>| match (least, most) {
        (Some(least), Some(most)) if least == most => format!(", {most} {what}"),
        (Some(least), Some(most)) if least > 0 => format!(", {least} to {most} {what}"),
        (_, Some(most)) => format!(", at most {most} {what}"),
        _ => String::new(),
    };
    let number =
        |bound: Option<f64>, word: &str| bound.map_or(String::new(), |bound| format!(", {word} {bound}"));
    match schema.type_.as_deref() {
        Some("array") => {
            let items = match &schema.items {
                Some(JSONSchemaPropsOrArray::Schema(items)) => shape(items),
                _ => "anything".into(),
            };
            format!("list of {items}{}", range("items", schema.min_items, schema.max_items))
        }
        Some("object") if schema.properties.is_none() => {
            let values = match &schema.additional_properties {
                Some(JSONSchemaPropsOrBool::Schema(values)) => shape(values),
                _ => "anything".into(),
            };
            format!("map of {values}{}", range("entries", schema.min_properties, schema.max_properties))
        }
        Some("string") => match &schema.enum_ {
            Some(words) => {
                let words: Vec<_> = words.iter().filter_map(|word| word.0.as_str()).collect();
                format!("`{}`", words.join("`, `"))
            }
            None => format!("string{}", range("characters", schema.min_length, schema.max_length)),
        },
        Some(name) => {
            format!("{name}{}{}", number(schema.minimum, "from"), number(schema.maximum, "to"))
        }
        None if schema.x_kubernetes_int_or_string == Some(true) => "integer or string".into(),
        None => "any JSON".into(),
    }
}

/// A row for each field, depth first; `path` is the parent's.
fn rows(schema: &JSONSchemaProps, path: &str, page: &mut String) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, member) in schema.properties.iter().flatten() {
        let place = format!("{path}.{name}");
        let shown = if required.contains(name) { format!("**`{place}`**") } else { format!("`{place}`") };
        let described = member.description.clone().unwrap_or_default();
        let described = described.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        writeln!(page, "| {shown} | {} | {described} |", shape(member)).unwrap();
        rows(member, &place, page);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &member.items {
            rows(items, &format!("{place}[]"), page);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &member.additional_properties {
            rows(values, &format!("{place}.*"), page);
        }
    }
}

/// What is refused at admission besides types and bounds.
fn rules(schema: &JSONSchemaProps, found: &mut Vec<String>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        if let Some(message) = rule.message.as_ref().filter(|message| !found.contains(message)) {
            found.push(message.clone());
        }
    }
    for member in schema.properties.iter().flatten().map(|(_, member)| member) {
        rules(member, found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        rules(items, found);
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for crd in crds::all() {
        let version = &crd.spec.versions[0];
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).unwrap();
        let described = schema.description.clone().unwrap_or_default();
        writeln!(
            page,
            "\n## {}\n\n{}",
            crd.spec.names.kind,
            described.split_whitespace().collect::<Vec<_>>().join(" ")
        )
        .unwrap();
        for part in ["spec", "status"] {
            let Some(member) = schema.properties.as_ref().and_then(|all| all.get(part)) else { continue };
            writeln!(page, "\n| {part} | type | what it is |\n| --- | --- | --- |").unwrap();
            rows(member, part, &mut page);
        }
        let mut refused = Vec::new();
        rules(schema, &mut refused);
        if !refused.is_empty() {
            writeln!(page, "\nRefused at admission:\n").unwrap();
            for message in refused {
                writeln!(page, "- {message}").unwrap();
            }
        }
    }
    page
}

#[test]
fn the_golden_page_of_the_reference_has_every_field() {
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let committed = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(committed == page, "docs/reference.md is stale; run make generate, and read the diff");
    for field in ["spec.source.uri", "spec.strategy.rollingUpdate.maxSurge", "spec.goldenSamples.tolerance"] {
        assert!(page.contains(&format!("`{field}`")), "{field} is not in the reference");
    }
}
