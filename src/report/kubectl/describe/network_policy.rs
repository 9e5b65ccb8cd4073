//! The page of a NetworkPolicy.

use serde_json::Value;

use super::super::World;
use super::super::age::Instant;
use super::super::look::{Look, plain, selector};
use super::{Page, line};

pub fn network_policy(policy: &Value, _: &World, page: &mut Page) {
    let spec = policy.at("spec");
    line!(page, 0, "Name:\t{}", policy.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", policy.text("metadata.namespace"));
    let created = Instant::of(policy.at("metadata.creationTimestamp")).map_or_else(String::new, Instant::to_go);
    line!(page, 0, "Created on:\t{created}");
    page.labels_and_annotations(policy);
    page.line(0, "Spec:");
    let pods = spec.at("podSelector");
    let pods = match selector(pods).as_str() {
        "<none>" => "<none> (Allowing the specific traffic to all pods in this namespace)".to_owned(),
        some => some.to_owned(),
    };
    line!(page, 1, "PodSelector:     {pods}");
    let kinds: Vec<String> = spec.list("policyTypes").iter().map(plain).collect();
    for (kind, direction, rules, peers) in [("Ingress", "ingress", "ingress", "from"), ("Egress", "egress", "egress", "to")] {
        if kinds.iter().any(|one| one == kind) {
            line!(page, 1, "Allowing {direction} traffic:");
            traffic(page, spec.list(rules), peers, direction);
        } else {
            line!(page, 1, "Not affecting {direction} traffic");
        }
    }
    line!(page, 1, "Policy Types: {}", kinds.join(", "));
}

fn traffic(page: &mut Page, rules: &[Value], peers: &str, direction: &str) {
    if rules.is_empty() {
        line!(page, 2, "<none> (Selected pods are isolated for {direction} connectivity)");
    }
    let title = if peers == "from" { "From" } else { "To" };
    for (number, rule) in rules.iter().enumerate() {
        let ports = rule.list("ports");
        if ports.is_empty() {
            page.line(2, "To Port: <any> (traffic allowed to all ports)");
        }
        for port in ports {
            let protocol = if port.text("protocol").is_empty() { "TCP" } else { port.text("protocol") };
            line!(page, 2, "To Port: {}/{protocol}", port.plain("port"));
        }
        let peers = rule.list(peers);
        if peers.is_empty() {
            let whom = if title == "From" { "source" } else { "destination" };
            line!(page, 2, "{title}: <any> (traffic not restricted by {whom})");
        }
        for peer in peers {
            line!(page, 2, "{title}:");
            if peer.has("ipBlock") {
                page.line(3, "IPBlock:");
                line!(page, 4, "CIDR: {}", peer.text("ipBlock.cidr"));
                let except: Vec<String> = peer.list("ipBlock.except").iter().map(plain).collect();
                line!(page, 4, "Except: {}", except.join(", "));
                continue;
            }
            if peer.has("namespaceSelector") {
                line!(page, 3, "NamespaceSelector: {}", selector(peer.at("namespaceSelector")));
            }
            if peer.has("podSelector") {
                line!(page, 3, "PodSelector: {}", selector(peer.at("podSelector")));
            }
        }
        if number + 1 < rules.len() {
            page.line(2, "----------");
        }
    }
}
