//! `modelwright crds`: the CustomResourceDefinitions as YAML, one file each. No client.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::{CustomResourceExt as _, ResourceExt as _};

use crate::api::{GROUP, LARGEST_INTEGER, Model, ModelDeployment, ModelVersion};

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// A definition cannot be written as YAML.
    #[error("cannot render {name}: {source}")]
    Render {
        /// Its name.
        name: String,
        /// What the serializer says.
        source: serde_yaml::ser::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Every definition.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![Model::crd(), ModelVersion::crd(), ModelDeployment::crd()];
    for schema in all.iter_mut().filter(|crd| crd.spec.names.kind == "ModelDeployment").flat_map(schemas) {
        schema.x_kubernetes_validations.get_or_insert_default().push(name_of_a_service());
    }
    for schema in all.iter_mut().flat_map(schemas) {
        polish(schema);
    }
    all
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

/// No Service of any Kubernetes has a name with a dot, and the Service has the ModelDeployment's. Only a new one is judged:
/// what is there already can be changed and deleted as before.
fn name_of_a_service() -> ValidationRule {
    let message = "metadata.name must have no dot: the Service has the same name, and a Service cannot have that one; use - in its place";
    ValidationRule {
        rule: "oldSelf.hasValue() || !self.metadata.name.contains('.')".into(),
        message: Some(message.into()),
        message_expression: Some(
            "'metadata.name is ' + self.metadata.name + ', and a Service, which has the same name, cannot have a dot in it: use a name such as ' + self.metadata.name.replace('.', '-')".into(),
        ),
        optional_old_self: Some(true),
        reason: Some("FieldValueInvalid".into()),
        ..ValidationRule::default()
    }
}

/// The derived schema, in Kubernetes' words: the kind is described by its spec's documentation, and integers have the
/// formats that the API server knows, and bounds that the types behind them hold.
fn polish(schema: &mut JSONSchemaProps) {
    let described = schema.properties.as_ref().and_then(|all| all.get("spec")?.description.clone());
    schema.description = described.or(schema.description.take());
    known_formats(schema);
}

/// [`LARGEST_INTEGER`] as bounds are written.
#[expect(clippy::cast_precision_loss, reason = "every float holds it exactly")]
const LARGEST: f64 = LARGEST_INTEGER as f64;

/// Least and largest value of a format that the derive macro writes.
fn bounds(format: &str) -> Option<(f64, f64)> {
    let largest = LARGEST;
    Some(match format {
        "uint32" => (0.0, f64::from(u32::MAX)),
        "int32" => (f64::from(i32::MIN), f64::from(i32::MAX)),
        "uint64" => (0.0, largest),
        "int64" => (-largest, largest),
        _ => return None,
    })
}

fn known_formats(schema: &mut JSONSchemaProps) {
    if let Some((least, largest)) = schema.format.as_deref().and_then(bounds) {
        schema.minimum.get_or_insert(least);
        schema.maximum.get_or_insert(largest);
    }
    if schema.format.as_ref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = Some("int64".into());
    }
    schema.properties.iter_mut().flatten().for_each(|(_, member)| known_formats(member));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        known_formats(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        known_formats(values);
    }
}

/// File name and content of every definition.
pub fn render() -> Result<Vec<(String, String)>, CrdsError> {
    all()
        .into_iter()
        .map(|crd| {
            let name = crd.name_any();
            let yaml = serde_yaml::to_string(&crd)
                .map_err(|source| CrdsError::Render { name: name.clone(), source })?;
            Ok((format!("{GROUP}_{}.yaml", crd.spec.names.plural), yaml))
        })
        .collect()
}

/// Writes every definition into `directory`.
pub fn write_all(directory: &Path) -> Result<(), CrdsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CrdsError::Write { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    for (file, content) in render()? {
        let path = directory.join(file);
        fs::write(&path, content).map_err(failed(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Calls `visit` with the path and schema of everything in the definitions.
    fn walk(visit: &mut dyn FnMut(&str, &JSONSchemaProps)) {
        fn into(path: &str, schema: &JSONSchemaProps, visit: &mut dyn FnMut(&str, &JSONSchemaProps)) {
            visit(path, schema);
            for (name, member) in schema.properties.iter().flatten() {
                // the API server's own fields
                if !["apiVersion", "kind", "metadata"].contains(&name.as_str()) || path.contains('.') {
                    into(&format!("{path}.{name}"), member, visit);
                }
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                into(&format!("{path}[]"), items, visit);
            }
            if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
                into(&format!("{path}{{}}"), values, visit);
            }
        }
        for crd in all() {
            for version in &crd.spec.versions {
                let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
                into(&crd.spec.names.kind, schema, visit);
            }
        }
    }

    #[test]
    fn the_committed_files_are_what_the_subcommand_writes() {
        let rendered = render().unwrap();
        for folder in ["crds", "charts/modelwright/files/crds"] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for (file, content) in &rendered {
                let committed = fs::read_to_string(directory.join(file)).unwrap_or_default();
                assert!(committed == *content, "{folder}/{file} is stale: run `make generate`");
                assert!(content.len() < 200_000, "{file} has {} bytes", content.len());
            }
            assert_eq!(
                fs::read_dir(directory).unwrap().count(),
                rendered.len(),
                "a file too many in {folder}/"
            );
        }
    }

    #[test]
    fn a_version_holds_the_names_and_axes_that_a_report_may_have() {
        use modelwright_contract::signature::{MAX_TENSOR_AXES, MAX_TENSOR_NAME};
        let mut seen = 0;
        walk(&mut |path, schema| {
            let bound = |most: usize| Some(i64::try_from(most).unwrap());
            for side in ["inputs", "optionalInputs", "outputs"] {
                let of = |field: &str| path == format!("ModelVersion.spec.signature.{side}[].{field}");
                if of("name") {
                    assert_eq!(schema.max_length, bound(MAX_TENSOR_NAME), "{path}");
                    seen += 1;
                }
                if of("shape") {
                    assert_eq!(schema.max_items, bound(MAX_TENSOR_AXES), "{path}");
                    seen += 1;
                }
            }
        });
        assert_eq!(seen, 6);
    }

    #[test]
    fn every_string_list_and_map_is_bounded() {
        let mut unbounded = Vec::new();
        walk(&mut |path, schema| {
            let bounded = match schema.type_.as_deref() {
                Some("string") => schema.max_length.is_some() || schema.enum_.is_some(),
                Some("array") => schema.max_items.is_some(),
                Some("object") if schema.additional_properties.is_some() => schema.max_properties.is_some(),
                Some("object") => schema.x_kubernetes_preserve_unknown_fields.is_none(),
                Some(_) => true,
                // scalars and short lists, which no schema can say; `validate` bounds each and all together
                None if path.starts_with("Model.spec.training.candidates[]")
                    && path.ends_with(".parameters{}") =>
                {
                    true
                }
                None => schema.x_kubernetes_int_or_string == Some(true),
            };
            if !bounded {
                unbounded.push(path.to_owned());
            }
        });
        assert!(unbounded.is_empty(), "{unbounded:#?}");
    }

    #[test]
    fn every_integer_is_bounded_in_a_status_too() {
        let (mut all, mut unbounded) = (0, Vec::new());
        walk(&mut |path, schema| {
            if schema.type_.as_deref() == Some("number") {
                unbounded.push(format!("{path}: a float"));
            }
            if schema.type_.as_deref() != Some("integer") {
                return;
            }
            all += 1;
            let exact = |bound: f64| bound.fract() == 0.0 && bound.abs() <= LARGEST;
            let bounded = match (schema.minimum, schema.maximum) {
                (Some(least), Some(largest)) => exact(least) && exact(largest) && least <= largest,
                _ => false,
            };
            if !bounded {
                unbounded.push(format!("{path}: {:?} to {:?}", schema.minimum, schema.maximum));
            }
        });
        assert!(all > 30, "{all} integers were seen");
        assert!(unbounded.is_empty(), "{unbounded:#?}");
    }

    #[test]
    fn every_field_is_described_and_none_has_a_default() {
        let (mut silent, mut defaulted) = (Vec::new(), Vec::new());
        walk(&mut |path, schema| {
            let is_field = !path.ends_with("[]") && !path.ends_with("{}");
            if is_field && schema.description.as_ref().is_none_or(|text| text.trim().is_empty()) {
                silent.push(path.to_owned());
            }
            if schema.default.is_some() {
                defaulted.push(path.to_owned());
            }
        });
        assert!(silent.is_empty(), "no description: {silent:#?}");
        assert!(defaulted.is_empty(), "a CRD default: {defaulted:#?}");
    }

    #[test]
    fn every_optional_field_of_a_spec_states_its_default() {
        let mut unstated = Vec::new();
        walk(&mut |path, schema| {
            if !path.contains(".spec") || path.starts_with("ModelVersion") {
                return;
            }
            let required = schema.required.clone().unwrap_or_default();
            for (name, member) in schema.properties.iter().flatten() {
                if !required.contains(name)
                    && !member.description.iter().any(|text| text.contains("Default:"))
                {
                    unstated.push(format!("{path}.{name}"));
                }
            }
        });
        assert!(unstated.is_empty(), "{unstated:#?}");
    }

    #[test]
    fn no_description_is_the_derive_macros_own() {
        walk(&mut |path, schema| {
            let text = schema.description.clone().unwrap_or_default();
            assert!(!text.contains("Auto-generated"), "{path}: {text}");
        });
    }
}
