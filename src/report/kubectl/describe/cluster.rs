//! The pages of Namespace, ConfigMap, Secret, ServiceAccount, and of the kinds of access control.

use serde_json::Value;

use super::super::World;
use super::super::look::{Look, plain};
use super::policy::{limits, used_and_hard};
use super::{Page, go_list, line};

pub fn namespace(namespace: &Value, world: &World, page: &mut Page) {
    let name = namespace.text("metadata.name");
    line!(page, 0, "Name:\t{name}");
    page.labels_and_annotations(namespace);
    line!(page, 0, "Status:\t{}", namespace.text("status.phase"));
    let conditions = namespace.list("status.conditions");
    if !conditions.is_empty() {
        page.line(0, "Conditions:");
        page.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
        page.line(1, "----\t------\t------------------\t------\t-------");
    }
    for condition in conditions {
        let (kind, status) = (condition.text("type"), condition.text("status"));
        let since = super::date(condition.at("lastTransitionTime"));
        line!(page, 1, "{kind}\t{status}\t{since}\t{}\t{}", condition.text("reason"), condition.text("message"));
    }
    let quotas: Vec<&Value> = world.kind("ResourceQuota", name).collect();
    page.line(0, "");
    page.line(0, if quotas.is_empty() { "No resource quota." } else { "Resource Quotas" });
    for quota in quotas {
        line!(page, 1, "Name:\t{}", quota.text("metadata.name"));
        page.line(1, "Resource\tUsed\tHard");
        page.line(1, "--------\t---\t---");
        used_and_hard(quota, page, 1);
    }
    let ranges: Vec<&Value> = world.kind("LimitRange", name).collect();
    page.line(0, "");
    if ranges.is_empty() {
        page.line(0, "No LimitRange resource.");
        return;
    }
    page.line(0, "Resource Limits");
    page.line(0, " Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    page.line(0, " ----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    ranges.iter().for_each(|range| limits(range, page, " "));
}

fn head(object: &Value, page: &mut Page) {
    line!(page, 0, "Name:\t{}", object.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", object.text("metadata.namespace"));
    page.labels_and_annotations(object);
}

pub fn config_map(map: &Value, world: &World, page: &mut Page) {
    head(map, page);
    page.line(0, "");
    page.line(0, "Data");
    page.line(0, "====");
    for (key, value) in map.pairs("data") {
        line!(page, 0, "{key}:");
        page.line(0, "----");
        page.line(0, &plain(value));
        page.line(0, "");
    }
    page.line(0, "");
    page.line(0, "BinaryData");
    page.line(0, "====");
    for (key, value) in map.pairs("binaryData") {
        line!(page, 0, "{key}: {} bytes", decoded(&plain(value)).len());
    }
    page.line(0, "");
    page.events(map, world);
}

/// The type of a service account's token, whose text is the one value that is shown.
const TOKEN: &str = "kubernetes.io/service-account-token";

pub fn secret(secret: &Value, _: &World, page: &mut Page) {
    head(secret, page);
    page.line(0, "");
    line!(page, 0, "Type:\t{}", secret.text("type"));
    page.line(0, "");
    page.line(0, "Data");
    page.line(0, "====");
    for (key, value) in secret.pairs("data") {
        let value = decoded(&plain(value));
        if key == "token" && secret.text("type") == TOKEN {
            line!(page, 0, "{key}:\t{}", String::from_utf8_lossy(&value));
        } else {
            line!(page, 0, "{key}:\t{} bytes", value.len());
        }
    }
}

/// The bytes that a text in base64 stands for (RFC 4648); what is no digit of it is passed over.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() * 3 / 4), 0u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        bits = (bits << 6 | digit as u32) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

pub fn service_account(account: &Value, world: &World, page: &mut Page) {
    head(account, page);
    let (namespace, name) = (account.text("metadata.namespace"), account.text("metadata.name"));
    let names = |field: &str| -> Vec<String> {
        let one = |reference: &Value| {
            let secret = reference.text("name");
            let missing = if world.named("Secret", namespace, secret).is_none() { " (not found)" } else { "" };
            format!("{secret}{missing}")
        };
        account.list(field).iter().map(one).collect()
    };
    let is_token = |secret: &&Value| {
        secret.text("type") == TOKEN
            && secret.at("metadata.annotations").get("kubernetes.io/service-account.name").and_then(Value::as_str) == Some(name)
    };
    let tokens = world.kind("Secret", namespace).filter(is_token).map(|secret| secret.plain("metadata.name")).collect();
    page.several("Image pull secrets", names("imagePullSecrets"));
    page.several("Mountable secrets", names("secrets"));
    page.several("Tokens", tokens);
    page.events(account, world);
}

/// Rules taken apart into one a resource, in the order of their verbs, groups and resources.
pub fn role(role: &Value, _: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", role.text("metadata.name"));
    page.labels_and_annotations(role);
    page.line(0, "PolicyRule:");
    page.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    page.line(1, "---------\t-----------------\t--------------\t-----");
    let mut rows: Vec<(String, String)> = Vec::new();
    for rule in role.list("rules") {
        let verbs = go_list(rule.list("verbs"));
        for url in rule.list("nonResourceURLs") {
            rows.push((format!("{verbs},[],[],[],[{}]", plain(url)), format!("\t[{}]\t[]\t{verbs}", plain(url))));
        }
        for group in rule.list("apiGroups") {
            let group = plain(group);
            let of_group = if group.is_empty() { String::new() } else { format!(".{group}") };
            for resource in rule.list("resources").iter().map(plain) {
                let mut names: Vec<String> = rule.list("resourceNames").iter().map(|name| format!("[{}]", plain(name))).collect();
                if names.is_empty() {
                    names.push("[]".to_owned());
                }
                for name in names {
                    let order = format!("{verbs},[{group}],[{resource}],{name}");
                    rows.push((order, format!("{resource}{of_group}\t[]\t{name}\t{verbs}")));
                }
            }
        }
    }
    rows.sort();
    rows.iter().for_each(|(_, row)| page.line(1, row));
}

pub fn binding(binding: &Value, _: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", binding.text("metadata.name"));
    page.labels_and_annotations(binding);
    page.line(0, "Role:");
    line!(page, 1, "Kind:\t{}", binding.text("roleRef.kind"));
    line!(page, 1, "Name:\t{}", binding.text("roleRef.name"));
    page.line(0, "Subjects:");
    page.line(1, "Kind\tName\tNamespace");
    page.line(1, "----\t----\t---------");
    for subject in binding.list("subjects") {
        line!(page, 1, "{}\t{}\t{}", subject.text("kind"), subject.text("name"), subject.text("namespace"));
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn base_64_is_decoded() {
        for (text, bytes) in [("", ""), ("YQ==", "a"), ("aGVsbG8=", "hello"), ("aGVsbG8h", "hello!")] {
            assert_eq!(decoded(text), bytes.as_bytes());
        }
    }
}
