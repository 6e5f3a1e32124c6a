//! What stands for an object of a kind says of its kind what the kind itself says, and of its metadata its own. Pure.

/// Makes a type that has `metadata` and is about a kind `K` a resource of that kind.
macro_rules! resource_of_kind {
    ($type:ident) => {
        impl<K: kube::Resource<DynamicType = ()>> kube::Resource for $type<K> {
            type DynamicType = ();
            type Scope = K::Scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                K::kind(&())
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                K::group(&())
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                K::version(&())
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                K::plural(&())
            }

            fn meta(&self) -> &kube::api::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut kube::api::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
