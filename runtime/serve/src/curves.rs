//! The curves of the training, as the artifact has them, for the page. In goes the model's folder; out comes SVG.

use std::{fs, path::Path};

use bytes::Bytes;
use modelwright_contract::{artifact::METADATA_DIRECTORY, training::CURVES_FILE};

const MAX_BYTES: u64 = 1024 * 1024;

/// Reads the picture, if there is one. One that cannot be read is none: it decides nothing.
pub fn read(folder: &Path) -> Option<Bytes> {
    let path = folder.join(METADATA_DIRECTORY).join(CURVES_FILE);
    let metadata = fs::symlink_metadata(&path).ok()?;
    let read = || -> Result<Bytes, String> {
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(format!("it is no ordinary file of at most {MAX_BYTES} bytes"));
        }
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let start = text.trim_start_matches('\u{feff}').trim_start();
        if !start.starts_with("<svg") && !start.starts_with("<?xml") {
            return Err("it is no SVG".to_owned());
        }
        Ok(text.into())
    };
    read().inspect_err(|why| tracing::warn!(path = %path.display(), why, "the curves are not shown")).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_an_ordinary_file_that_is_svg_and_small_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        fs::create_dir(folder.path().join("modelwright")).unwrap();
        let path = folder.path().join("modelwright/curves.svg");
        let shown = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            read(folder.path()).is_some()
        };
        assert!(shown(b"<svg/>") && shown(b"<?xml version='1.0'?><svg/>"));
        assert!(!shown(b"<html>") && !shown(b"<svg\xff"));
        let most = usize::try_from(MAX_BYTES).unwrap();
        assert!(shown(format!("<svg>{}", " ".repeat(most - 5)).as_bytes()));
        assert!(!shown(format!("<svg>{}", " ".repeat(most - 4)).as_bytes()));
        fs::rename(&path, folder.path().join("elsewhere.svg")).unwrap();
        std::os::unix::fs::symlink("../elsewhere.svg", &path).unwrap();
        assert_eq!(read(folder.path()), None, "no link is followed");
    }
}
