//! Whatever the generated definitions admit can be read: instances are drawn at random by the schemas, the status and what
//! is nowhere described included.

use std::collections::HashMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use modelwright::{
    api::{Model, ModelDeployment, ModelVersion},
    crds,
    k8s::cache::{index::Watched, kept::Kept, raw::Raw, text::Dictionary},
    model::{spec_hash::spec_hash, validate::validate_model},
    serving::validate::validate_deployment,
};
use proptest::{
    prelude::*,
    strategy::{BoxedStrategy, ValueTree},
    string::string_regex,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

/// Instances of a kind.
const CASES: u64 = 1500;

/// Draws instances of a schema.
struct Draw {
    runner: TestRunner,
    state: u64,
    patterns: HashMap<String, BoxedStrategy<String>>,
}

impl Draw {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self {
            runner: TestRunner::new_with_rng(ProptestConfig::default(), rng),
            state: seed,
            patterns: HashMap::new(),
        }
    }

    /// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn value(&mut self, schema: &JSONSchemaProps) -> Value {
        if schema.nullable == Some(true) && self.one_in(8) {
            return Value::Null;
        }
        if let Some(words) = &schema.enum_ {
            let words: Vec<_> = words.iter().map(|word| word.0.clone()).collect();
            return self.one_of(&words);
        }
        match schema.type_.as_deref() {
            Some("string") => self.text(schema).into(),
            Some("integer") => self.integer(schema).into(),
            Some("boolean") => self.one_in(2).into(),
            Some("array") => {
                let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else {
                    panic!("a list of nothing")
                };
                let least = usize::try_from(schema.min_items.unwrap_or(0)).unwrap();
                let most = usize::try_from(schema.max_items.unwrap_or(50)).unwrap();
                let count = (least + self.below(4)).min(most);
                (0..count).map(|_| self.value(items)).collect()
            }
            Some("object") => self.object(schema).into(),
            Some(other) => panic!("no instance of {other} is drawn"),
            None if schema.x_kubernetes_int_or_string == Some(true) => {
                let bits = self.bits();
                let whole = self.one_of(&[0, 1, 4_294_967_296, i64::MAX, i64::MIN, i64::from(i32::MAX) + 1]);
                let random = i64::from_le_bytes(bits.to_le_bytes());
                self.one_of(&[json!(whole), json!(random), json!("1.5"), json!("64Mi"), json!("no quantity")])
            }
            None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => self.anything(4),
            None => panic!("a schema without a type"),
        }
    }

    fn object(&mut self, schema: &JSONSchemaProps) -> Map<String, Value> {
        let required = schema.required.clone().unwrap_or_default();
        let mut object = Map::new();
        for (name, member) in schema.properties.iter().flatten() {
            if required.contains(name) || self.one_in(2) {
                object.insert(name.clone(), self.value(member));
            }
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            for _ in 0..self.below(4) {
                let name = self.any_text(1, 12);
                object.insert(name, self.value(values));
            }
        }
        if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
            for _ in 0..self.below(3) {
                let name = self.any_text(1, 12);
                object.insert(name, self.anything(3));
            }
        }
        object
    }

    /// An edge, or anything between; without a bound all that the API server stores.
    #[expect(clippy::cast_possible_truncation, reason = "bounds are whole numbers")]
    fn integer(&mut self, schema: &JSONSchemaProps) -> i64 {
        let least = schema.minimum.map_or(i64::MIN, |bound| bound as i64);
        let largest = schema.maximum.map_or(i64::MAX, |bound| bound as i64);
        let span = i128::from(largest) - i128::from(least) + 1;
        let between = i64::try_from(i128::from(least) + i128::from(self.bits()) % span).unwrap();
        self.one_of(&[least, largest, between, between, 0.clamp(least, largest)])
    }

    fn text(&mut self, schema: &JSONSchemaProps) -> String {
        let Some(pattern) = &schema.pattern else {
            let least = usize::try_from(schema.min_length.unwrap_or(0)).unwrap();
            let most = usize::try_from(schema.max_length.unwrap_or(1000)).unwrap();
            return self.any_text(least, most);
        };
        let text = self.patterns.entry(pattern.clone()).or_insert_with(|| {
            // a whole text is drawn: proptest knows no anchors
            string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).unwrap().boxed()
        });
        text.new_tree(&mut self.runner).unwrap().current()
    }

    fn any_text(&mut self, least: usize, most: usize) -> String {
        let count = (least + self.below(20)).min(most);
        let characters =
            ['a', 'Z', '0', '-', '.', '/', ' ', '"', '\\', '\n', '\u{0}', 'é', '漢', '🦀', '\u{202e}'];
        (0..count).map(|_| self.one_of(&characters)).collect()
    }

    /// Any JSON.
    fn anything(&mut self, depth: usize) -> Value {
        let simple = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(1.5e300),
            json!(-0.0),
            json!("text"),
        ];
        match self.below(if depth == 0 { 1 } else { 3 }) {
            0 => self.one_of(&simple),
            1 => (0..self.below(4)).map(|_| self.anything(depth - 1)).collect(),
            _ => (0..self.below(4)).map(|_| (self.any_text(0, 8), self.anything(depth - 1))).collect(),
        }
    }

    /// A whole object as the API server would store it.
    fn instance(&mut self, definition: &CustomResourceDefinition) -> Value {
        let version = &definition.spec.versions[0];
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).unwrap();
        let mut object = Map::new();
        for (name, member) in schema.properties.iter().flatten() {
            if matches!(name.as_str(), "spec" | "status") {
                object.insert(name.clone(), self.value(member));
            }
        }
        object.insert("apiVersion".into(), json!(format!("modelwright.dev/{}", version.name)));
        object.insert("kind".into(), json!(definition.spec.names.kind));
        object.insert(
            "metadata".into(),
            json!({"name": "one", "namespace": "space", "uid": "u", "resourceVersion": "1", "generation": 1}),
        );
        object.into()
    }
}

/// Draws instances of a kind, reads each as the operator does, keeps it and gets it back.
fn all_are_read<K: Watched + PartialEq>(kind: &str, seed: u64, use_it: impl Fn(&K)) {
    let definition = crds::all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let dictionary = Dictionary::default();
    let mut draw = Draw::new(seed);
    for case in 0..CASES {
        let instance = draw.instance(&definition);
        let raw = Raw::<K>::of_text(instance.to_string()).unwrap();
        let object = match raw.read() {
            Ok(object) => object,
            Err(problem) => panic!("{kind} {case} of seed {seed} does not parse: {problem}\n{instance:#}"),
        };
        let kept = Kept::new(object.clone(), &dictionary);
        assert_eq!(*kept.open().unwrap(), object, "{kind} {case} of seed {seed} comes back");
        use_it(&object);
    }
}

#[test]
fn every_model_that_the_schema_admits_is_read() {
    all_are_read::<Model>("Model", 1, |model| {
        // it may be refused, in words
        drop(validate_model(model));
        assert!(spec_hash(model).starts_with("v1-"));
    });
}

#[test]
fn every_model_version_that_the_schema_admits_is_read() {
    all_are_read::<ModelVersion>("ModelVersion", 2, |_| {});
}

#[test]
fn every_model_deployment_that_the_schema_admits_is_read() {
    all_are_read::<ModelDeployment>("ModelDeployment", 3, |deployment| drop(validate_deployment(deployment)));
}
