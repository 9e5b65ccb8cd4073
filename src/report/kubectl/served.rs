//! Objects of a run as the API server would serve them: what a real server fills in and the simulator has no use for.

use serde_json::{Map, Value, json};

use super::look::Look;
use crate::base::Revision;
use crate::objects::Object;

/// The version that the kubelets are modelled on.
const KUBELET: &str = "v1.34.1";

/// The object as JSON, with its `resourceVersion` and the lists that repeat a single address.
pub fn as_served(object: &Object, revision: Revision) -> Value {
    let mut value = object.to_json();
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("resourceVersion".to_owned(), Value::String(revision.0.to_string()));
    }
    match object {
        Object::Pod(_) => {
            let (pod, host) = (value.plain("status.podIP"), value.plain("status.hostIP"));
            fill(&mut value, "status", "podIPs", one("ip", &pod));
            fill(&mut value, "status", "hostIPs", one("ip", &host));
            // The admission plugin ServiceAccount.
            fill(&mut value, "spec", "serviceAccountName", Some(json!("default")));
        }
        Object::Service(_) => {
            let ip = value.plain("spec.clusterIP");
            let has_ip = !ip.is_empty();
            fill(&mut value, "spec", "clusterIPs", has_ip.then(|| json!([ip])));
            fill(&mut value, "spec", "ipFamilies", has_ip.then(|| json!(["IPv4"])));
            fill(&mut value, "spec", "ipFamilyPolicy", has_ip.then(|| json!("SingleStack")));
            fill(&mut value, "spec", "type", Some(json!("ClusterIP")));
            fill(&mut value, "spec", "sessionAffinity", Some(json!("None")));
            fill(&mut value, "spec", "internalTrafficPolicy", has_ip.then(|| json!("Cluster")));
        }
        Object::Node(_) => {
            let name = value.plain("metadata.name");
            fill(&mut value, "status", "addresses", Some(json!([{"type": "Hostname", "address": name}])));
            let info = json!({"architecture": "amd64", "kubeletVersion": KUBELET, "operatingSystem": "linux"});
            fill(&mut value, "status", "nodeInfo", Some(info));
        }
        _ => {}
    }
    value
}

fn one(field: &str, text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!([{ field: text }]))
}

/// Sets a field that is absent.
fn fill(object: &mut Value, part: &str, field: &str, value: Option<Value>) {
    let Some(value) = value else { return };
    let Some(fields) = object.as_object_mut() else { return };
    let part = fields.entry(part).or_insert_with(|| Value::Object(Map::new()));
    if let Some(part) = part.as_object_mut() {
        part.entry(field).or_insert(value);
    }
}
