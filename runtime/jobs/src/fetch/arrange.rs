//! Finds the model among fetched files. In go relative paths; out comes which of them are kept, and under which name:
//! the graph becomes `model.onnx`, what lies beside or below it keeps its relative name. Needs no network.

use std::collections::BTreeMap;

use modelwright_contract::{
    artifact::{METADATA_DIRECTORY, MODEL_FILE},
    fetch::FetchKind,
    variants::VARIANTS_DIRECTORY,
};

use super::error::FetchError;

/// Says which files are kept, old name to new name.
pub fn arrange<'a>(
    paths: impl Iterator<Item = &'a String>,
    kind: FetchKind,
    uri: &str,
) -> Result<BTreeMap<String, String>, FetchError> {
    let paths: Vec<&str> = paths.map(String::as_str).collect();
    let no_model = |why: String| FetchError::NoModel { uri: uri.to_owned(), why };
    if kind == FetchKind::Artifact {
        // An artifact is restored as it was published, or not at all.
        if !paths.contains(&MODEL_FILE) {
            return Err(no_model(format!("it has no {MODEL_FILE}; it is no artifact that Modelwright made")));
        }
        return Ok(paths.iter().map(|path| ((*path).to_owned(), (*path).to_owned())).collect());
    }
    if let [only] = paths.as_slice() {
        return Ok(BTreeMap::from([((*only).to_owned(), MODEL_FILE.to_owned())]));
    }
    // Variants lie among what is known of a model, and are made anew where they are asked for.
    let variants = format!("{METADATA_DIRECTORY}/{VARIANTS_DIRECTORY}/");
    let graphs = paths.iter().copied().filter(|path| is_graph(path) && !path.contains(&variants));
    let graphs: Vec<&str> = graphs.collect();
    let graph = match graphs.as_slice() {
        [graph] => *graph,
        [] => {
            let names = some(&paths);
            return Err(no_model(format!("none of its {} files ({names}) ends in .onnx", paths.len())));
        }
        several => {
            return Err(FetchError::SeveralModels { uri: uri.to_owned(), names: some(several) });
        }
    };
    let folder = graph.rfind('/').map_or("", |end| &graph[..=end]);
    let metadata = format!("{METADATA_DIRECTORY}/");
    let mut kept = BTreeMap::new();
    for path in &paths {
        let Some(relative) = path.strip_prefix(folder).filter(|path| !path.starts_with(&variants)) else {
            continue;
        };
        if *path == graph {
            kept.insert(graph.to_owned(), MODEL_FILE.to_owned());
        } else if !relative.starts_with(&metadata) || graph == MODEL_FILE {
            kept.insert((*path).to_owned(), relative.to_owned());
        }
    }
    Ok(kept)
}

fn is_graph(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(name, extension)| !name.is_empty() && extension.eq_ignore_ascii_case("onnx"))
}

fn some(names: &[&str]) -> String {
    let mut text = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 5 {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept(kind: FetchKind, paths: &[&str]) -> Result<Vec<(String, String)>, &'static str> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        arrange(paths.iter(), kind, "uri")
            .map(|kept| kept.into_iter().collect())
            .map_err(|error| error.reason())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_single_file_of_any_name_becomes_the_model() {
        assert_eq!(
            kept(FetchKind::Source, &["weights.bin"]).unwrap(),
            pairs(&[("weights.bin", "model.onnx")])
        );
    }

    #[test]
    fn external_data_keeps_its_name_relative_to_the_graph() {
        assert_eq!(
            kept(FetchKind::Source, &["README.md", "onnx/big.ONNX", "onnx/big.data"]).unwrap(),
            pairs(&[("onnx/big.ONNX", "model.onnx"), ("onnx/big.data", "big.data")])
        );
    }

    #[test]
    fn an_artifact_that_modelwright_made_keeps_its_metadata_and_another_folder_does_not_get_in_as_metadata() {
        assert_eq!(
            kept(FetchKind::Source, &["model.onnx", "modelwright/golden.json"]).unwrap(),
            pairs(&[("model.onnx", "model.onnx"), ("modelwright/golden.json", "modelwright/golden.json")])
        );
        assert_eq!(
            kept(FetchKind::Source, &["x/other.onnx", "x/modelwright/golden.json"]).unwrap(),
            pairs(&[("x/other.onnx", "model.onnx")])
        );
    }

    #[test]
    fn variants_of_an_artifact_are_no_models_of_a_source_and_stay_with_an_artifact() {
        let paths = ["model.onnx", "modelwright/golden.json", "modelwright/variants/int8/model.onnx"];
        assert_eq!(
            kept(FetchKind::Source, &paths).unwrap(),
            pairs(&[("model.onnx", "model.onnx"), ("modelwright/golden.json", "modelwright/golden.json")])
        );
        assert_eq!(kept(FetchKind::Artifact, &paths).unwrap().len(), 3);
        assert_eq!(kept(FetchKind::Source, &["modelwright/variants/int8/model.onnx", "x"]), Err("NoModel"));
    }

    #[test]
    fn none_and_several_models_are_refused() {
        assert_eq!(kept(FetchKind::Source, &["a", "b"]), Err("NoModel"));
        assert_eq!(kept(FetchKind::Source, &["a.onnx", "b.onnx"]), Err("SeveralModels"));
        assert_eq!(kept(FetchKind::Artifact, &["a.onnx"]), Err("NoModel"));
    }
}
