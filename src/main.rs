//! The operator's executable.

fn main() {
    use kube::CustomResourceExt as _;
    use modelwright::api::{Model, ModelDeployment, ModelVersion};
    for crd in [Model::crd(), ModelVersion::crd(), ModelDeployment::crd()] {
        println!("---\n{}", serde_yaml::to_string(&crd).unwrap_or_default());
    }
}
