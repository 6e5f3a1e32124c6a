//! Tells `train` what to do: writes the run's config beside the folder with the data. In go that folder and a
//! [`RunConfig`]; the file appears whole or not at all, and in a pod it is [`RUN_FILE`]. The folder that `train` writes
//! into is not made here: it belongs to `train`.

use std::{io::Write, path::Path};

use modelwright_contract::training::{RUN_FILE, RunConfig};

use super::error::FetchError;

pub fn write(data: &Path, run: &RunConfig) -> Result<(), FetchError> {
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let target = parent.join(Path::new(RUN_FILE).file_name().expect("the constant ends in a name"));
    // All keys are strings, and that is the only thing that could fail.
    let text = serde_json::to_vec(run).unwrap_or_default();
    // Readable for the pod's other containers, whatever user they run as.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new()
        .prefix(".run-")
        .permissions(permissions)
        .tempfile_in(parent)
        .map_err(FetchError::io(parent))?;
    file.write_all(&text).map_err(FetchError::io(&target))?;
    file.persist(&target).map_err(|error| FetchError::io(&target)(error.error))?;
    Ok(())
}
