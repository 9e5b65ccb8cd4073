//! Service, Endpoints, EndpointSlice, Ingress, IngressClass, NetworkPolicy.

use serde_json::Value;

use super::super::World;
use super::super::look::{self, Look, label_set, or_none};
use super::{age, name, three_and_more};

pub const SERVICE: &[&str] = &["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"];
pub const ENDPOINTS: &[&str] = &["Name", "Endpoints", "Age"];
pub const ENDPOINT_SLICE: &[&str] = &["Name", "AddressType", "Ports", "Endpoints", "Age"];
pub const INGRESS: &[&str] = &["Name", "Class", "Hosts", "Address", "Ports", "Age"];
pub const INGRESS_CLASS: &[&str] = &["Name", "Controller", "Parameters", "Age"];
pub const NETWORK_POLICY: &[&str] = &["Name", "Pod-Selector", "Age"];

pub fn service(service: &Value, world: &World) -> Vec<String> {
    let addresses = service.list("spec.clusterIPs");
    let ip = addresses.first().and_then(Value::as_str).unwrap_or(service.text("spec.clusterIP"));
    let kind = if service.text("spec.type").is_empty() { "ClusterIP" } else { service.text("spec.type") };
    vec![
        name(service),
        kind.to_owned(),
        or_none(ip).to_owned(),
        external_ip(service, kind),
        ports(service.list("spec.ports")),
        age(service, world),
        label_set(service.at("spec.selector")),
    ]
}

/// Addresses of a service, as they stand in a list of strings.
pub fn strings(list: &[Value]) -> Vec<String> {
    list.iter().map(look::plain).collect()
}

/// The addresses of a load balancer: IP addresses, or host names where there are none.
pub fn ingress_addresses(list: &[Value]) -> Vec<String> {
    let one = |ingress: &Value| if ingress.text("ip").is_empty() { ingress.plain("hostname") } else { ingress.plain("ip") };
    list.iter().map(one).filter(|address| !address.is_empty()).collect()
}

fn external_ip(service: &Value, kind: &str) -> String {
    let external = strings(service.list("spec.externalIPs"));
    match kind {
        "ExternalName" => service.plain("spec.externalName"),
        "LoadBalancer" => {
            let mut all = ingress_addresses(service.list("status.loadBalancer.ingress"));
            all.extend(external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => or_none(&external.join(",")).to_owned(),
    }
}

fn ports(ports: &[Value]) -> String {
    let one = |port: &Value| {
        let protocol = if port.text("protocol").is_empty() { "TCP" } else { port.text("protocol") };
        match port.int("nodePort") {
            0 => format!("{}/{protocol}", port.int("port")),
            node_port => format!("{}:{node_port}/{protocol}", port.int("port")),
        }
    };
    or_none(&ports.iter().map(one).collect::<Vec<_>>().join(",")).to_owned()
}

pub fn endpoints(endpoints: &Value, world: &World) -> Vec<String> {
    vec![name(endpoints), subsets(endpoints.list("subsets")), age(endpoints, world)]
}

/// Ready addresses with each port. No subsets at all are `<none>`; subsets without a ready address are empty.
fn subsets(subsets: &[Value]) -> String {
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = subset.list("addresses");
        if subset.list("ports").is_empty() {
            all.extend(addresses.iter().map(|address| address.plain("ip")));
        }
        for port in subset.list("ports") {
            all.extend(addresses.iter().map(|address| host_and_port(address.text("ip"), &port.plain("port"))));
        }
    }
    three_and_more(&all)
}

/// An address with its port; an IPv6 address stands in brackets.
pub fn host_and_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub fn endpoint_slice(slice: &Value, world: &World) -> Vec<String> {
    let ports = slice.list("ports").iter().map(|port| if port.has("port") { port.plain("port") } else { "*".to_owned() });
    let addresses = slice.list("endpoints").iter().flat_map(|endpoint| strings(endpoint.list("addresses")));
    let shown = |items: Vec<String>| look::or_unset(&three_and_more(&items)).to_owned();
    vec![name(slice), slice.plain("addressType"), shown(ports.collect()), shown(addresses.collect()), age(slice, world)]
}

pub fn ingress(ingress: &Value, world: &World) -> Vec<String> {
    let hosts: Vec<String> = ingress.list("spec.rules").iter().map(|rule| rule.plain("host")).filter(|host| !host.is_empty()).collect();
    let hosts = match hosts.len() {
        0 => "*".to_owned(),
        _ => three_and_more(&hosts),
    };
    let addresses = ingress_addresses(ingress.list("status.loadBalancer.ingress")).join(",");
    let ports = if ingress.list("spec.tls").is_empty() { "80" } else { "80, 443" };
    let class = or_none(ingress.text("spec.ingressClassName")).to_owned();
    vec![name(ingress), class, hosts, addresses, ports.to_owned(), age(ingress, world)]
}

pub fn ingress_class(class: &Value, world: &World) -> Vec<String> {
    let parameters = class.at("spec.parameters");
    let parameters = if parameters.is_null() {
        "<none>".to_owned()
    } else {
        let kind = parameters.text("kind");
        match parameters.text("apiGroup") {
            "" => format!("{kind}/{}", parameters.text("name")),
            group => format!("{kind}.{group}/{}", parameters.text("name")),
        }
    };
    vec![name(class), class.plain("spec.controller"), parameters, age(class, world)]
}

pub fn network_policy(policy: &Value, world: &World) -> Vec<String> {
    vec![name(policy), look::selector(policy.at("spec.podSelector")), age(policy, world)]
}
