//! Which part of the operator may know which other.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What `src/k8s` may name of the crate: nothing that knows a kind, a label or an annotation of ours.
const GENERIC: [&str; 6] = ["clock", "hash", "k8s", "metrics", "quantity", "telemetry"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The modules of the crate that a file names, its tests aside.
fn modules(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut named = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let Some(group) = path.strip_prefix('{') else {
            named.extend(path.split(|c| !is_word(c)).next());
            continue;
        };
        // the first word of each member, of those that are not in a further group
        let mut depth = 0;
        let is_between = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0 || (depth == 0 && c == ',')
        };
        for member in group.split_inclusive(is_between) {
            named.extend(member.trim_start().split(|c| !is_word(c)).next().filter(|word| !word.is_empty()));
            if member.ends_with('}') && member.matches('{').count() < member.matches('}').count() {
                break;
            }
        }
    }
    named
}

#[test]
fn what_reads_and_writes_objects_knows_no_kind_of_ours() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/k8s");
    let mut files = sources(Path::new(source));
    files.push(format!("{source}.rs").into());
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let named = modules(&text);
        let foreign: Vec<_> = named.iter().filter(|module| !GENERIC.contains(module)).collect();
        assert!(foreign.is_empty(), "{} names {foreign:?}", file.display());
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!code.contains("modelwright"), "{} names a label, or a kind, of ours", file.display());
    }
}

#[test]
fn modules_are_found_alone_and_in_groups_and_not_in_tests() {
    let text = "use crate::{api::{Model, name::X}, hash,\n    k8s::{a, b},\n};\nuse std::io;\nfn f() -> crate::pods::Y {}\n\
        #[cfg(test)]\nmod tests { use crate::serving; }";
    assert_eq!(modules(text).into_iter().collect::<Vec<_>>(), ["api", "hash", "k8s", "pods"]);
}
