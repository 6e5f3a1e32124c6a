//! The bodies of the fuzz targets on their seeds, and on mutations of these that are the same in every run. `make fuzz`
//! goes much further.
use std::{fs, path::PathBuf};

#[path = "../../../fuzz/src/lib.rs"]
mod bodies;

/// Most changes of one mutation.
const CHANGES: usize = 6;
/// What means something to one of the targets.
const WORDS: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "-",
    ".",
    "e",
    "0",
    "9",
    "null",
    "true",
    "1e308",
    "0.5",
    "[1,",
    "\n",
    " ",
    "99999999999999999999",
    "\u{e9}",
    "\0",
    "9007199254740993",
];

/// The seeds of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Knuth's generator for MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(16)).min(length)
    }

    fn mutate(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(CHANGES) {
            let place = self.range(data.len());
            match self.below(6) {
                0 => {
                    if let Some(byte) = data.get_mut(place.start) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                1 => {
                    if let Some(byte) = data.get_mut(place.start) {
                        *byte = u8::try_from(self.below(256)).unwrap();
                    }
                }
                2 => drop(data.drain(place)),
                3 => {
                    let piece = data[place].to_vec();
                    let at = self.below(data.len() + 1);
                    data.splice(at..at, piece);
                }
                4 => drop(data.splice(place, WORDS[self.below(WORDS.len())].bytes())),
                _ => {
                    let piece = self.range(other.len());
                    data.splice(place, other[piece].iter().copied());
                }
            }
        }
    }
}

/// Tries the seeds, and so many mutations of them.
fn try_all(target: &str, mutations: usize) {
    let (_, body) = bodies::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    for seed in &seeds {
        body(seed);
    }
    let mut random = Random(seeds.len() as u64);
    for number in 0..mutations {
        let mut data = seeds[number % seeds.len()].clone();
        let other = random.below(seeds.len());
        random.mutate(&mut data, &seeds[other]);
        if let Err(panic) = std::panic::catch_unwind(|| body(&data)) {
            eprintln!("mutation {number} of {target}: {}", data.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn json_means_what_others_read_in_it() {
    try_all("json_elements", 20_000);
}

#[test]
fn rest_bodies_are_refused_or_come_back_as_they_were() {
    try_all("rest_body", 20_000);
}

#[test]
fn grpc_messages_are_refused_or_come_back_as_they_were() {
    try_all("grpc_message", 20_000);
}

#[test]
fn onnx_files_are_refused_or_say_the_same_however_they_are_read() {
    try_all("onnx_file", 20_000);
}

#[test]
fn npz_files_are_refused_or_are_arrays() {
    try_all("npz_file", 2_000);
}
