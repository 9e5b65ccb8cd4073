//! Namespace, Lease, ConfigMap, Secret, ServiceAccount, RoleBinding, and kinds that show only their age or when they were created.

use serde_json::Value;

use super::super::World;
use super::super::look::Look;
use super::{age, name};

pub const PLAIN: &[&str] = &["Name", "Age"];
pub const CREATED: &[&str] = &["Name", "Created At"];
pub const NAMESPACE: &[&str] = &["Name", "Status", "Age"];
pub const LEASE: &[&str] = &["Name", "Holder", "Age"];
pub const CONFIG_MAP: &[&str] = &["Name", "Data", "Age"];
pub const BINDING: &[&str] = &["Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"];
pub const SECRET: &[&str] = &["Name", "Type", "Data", "Age"];

/// Kinds that show nothing but their age.
pub fn plain(object: &Value, world: &World) -> Vec<String> {
    vec![name(object), age(object, world)]
}

/// Kinds without a printer of their own: the time stamp as it is stored.
pub fn created(object: &Value, _: &World) -> Vec<String> {
    vec![name(object), object.plain("metadata.creationTimestamp")]
}

pub fn namespace(namespace: &Value, world: &World) -> Vec<String> {
    vec![name(namespace), namespace.plain("status.phase"), age(namespace, world)]
}

pub fn lease(lease: &Value, world: &World) -> Vec<String> {
    vec![name(lease), lease.plain("spec.holderIdentity"), age(lease, world)]
}

pub fn config_map(map: &Value, world: &World) -> Vec<String> {
    let entries = map.pairs("data").len() + map.pairs("binaryData").len();
    vec![name(map), entries.to_string(), age(map, world)]
}

pub fn secret(secret: &Value, world: &World) -> Vec<String> {
    vec![name(secret), secret.plain("type"), secret.pairs("data").len().to_string(), age(secret, world)]
}

pub fn binding(binding: &Value, world: &World) -> Vec<String> {
    let subjects = |kind: &str| {
        let of_kind = binding.list("subjects").iter().filter(|subject| subject.text("kind") == kind);
        let named = |subject: &Value| match subject.text("namespace") {
            namespace if kind == "ServiceAccount" && !namespace.is_empty() => format!("{namespace}/{}", subject.text("name")),
            _ => subject.plain("name"),
        };
        of_kind.map(named).collect::<Vec<_>>().join(", ")
    };
    let role = binding.at("roleRef");
    vec![
        name(binding),
        format!("{}/{}", role.text("kind"), role.text("name")),
        age(binding, world),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
