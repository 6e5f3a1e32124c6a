//! `modelwright crds`: the CustomResourceDefinitions as YAML, one file each. No client.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt as _, ResourceExt as _};

use crate::api::{GROUP, Model, ModelDeployment, ModelVersion};

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
    vec![Model::crd(), ModelVersion::crd(), ModelDeployment::crd()]
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
