//! The pages of Service, Endpoints and Ingress.

use serde_json::Value;

use super::super::World;
use super::super::columns::network::{host_and_port, ingress_addresses, strings};
use super::super::look::{Look, label_set, or_none, or_unset};
use super::{Page, line};

pub fn service(service: &Value, world: &World, page: &mut Page) {
    let spec = service.at("spec");
    line!(page, 0, "Name:\t{}", service.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", service.text("metadata.namespace"));
    page.labels_and_annotations(service);
    line!(page, 0, "Selector:\t{}", label_set(spec.at("selector")));
    line!(page, 0, "Type:\t{}", spec.text("type"));
    if spec.has("ipFamilyPolicy") {
        line!(page, 0, "IP Family Policy:\t{}", spec.text("ipFamilyPolicy"));
    }
    let all = |field: &str| strings(spec.list(field)).join(",");
    line!(page, 0, "IP Families:\t{}", or_none(&all("ipFamilies")));
    line!(page, 0, "IP:\t{}", spec.text("clusterIP"));
    line!(page, 0, "IPs:\t{}", or_none(&all("clusterIPs")));
    if !spec.list("externalIPs").is_empty() {
        line!(page, 0, "External IPs:\t{}", all("externalIPs"));
    }
    for (title, field) in [("Desired LoadBalancer IP", "loadBalancerIP"), ("External Name", "externalName")] {
        if !spec.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", spec.text(field));
        }
    }
    let ingress = service.list("status.loadBalancer.ingress");
    if !ingress.is_empty() {
        line!(page, 0, "LoadBalancer Ingress:\t{}", ingress.iter().map(ingress_with_mode).collect::<Vec<_>>().join(", "));
    }
    ports(service, world, page);
    line!(page, 0, "Session Affinity:\t{}", spec.text("sessionAffinity"));
    for (title, field) in [("External Traffic Policy", "externalTrafficPolicy"), ("Internal Traffic Policy", "internalTrafficPolicy")] {
        if !spec.text(field).is_empty() {
            line!(page, 0, "{title}:\t{}", spec.text(field));
        }
    }
    if spec.int("healthCheckNodePort") != 0 {
        line!(page, 0, "HealthCheck NodePort:\t{}", spec.int("healthCheckNodePort"));
    }
    if !spec.list("loadBalancerSourceRanges").is_empty() {
        line!(page, 0, "LoadBalancer Source Ranges:\t{}", all("loadBalancerSourceRanges"));
    }
    page.events(service, world);
}

/// `203.0.113.7 (VIP)`, or a host name.
fn ingress_with_mode(ingress: &Value) -> String {
    match (ingress.text("ip"), ingress.text("ipMode")) {
        ("", _) => ingress.plain("hostname"),
        (ip, "") => ip.to_owned(),
        (ip, mode) => format!("{ip} ({mode})"),
    }
}

fn ports(service: &Value, world: &World, page: &mut Page) {
    let slices = slices(world, service.text("metadata.namespace"), service.text("metadata.name"));
    for port in service.list("spec.ports") {
        let name = or_unset(port.text("name"));
        let protocol = port.text("protocol");
        line!(page, 0, "Port:\t{name}\t{}/{protocol}", port.int("port"));
        let target = if port.has("targetPort") { port.plain("targetPort") } else { port.plain("port") };
        line!(page, 0, "TargetPort:\t{target}/{protocol}");
        if port.int("nodePort") != 0 {
            line!(page, 0, "NodePort:\t{name}\t{}/{protocol}", port.int("nodePort"));
        }
        line!(page, 0, "Endpoints:\t{}", endpoints_of(&slices, port.text("name")));
    }
}

/// The slices of a service.
fn slices<'w>(world: &'w World, namespace: &'w str, service: &str) -> Vec<&'w Value> {
    let of = |slice: &&Value| slice.at("metadata.labels").get("kubernetes.io/service-name").and_then(Value::as_str) == Some(service);
    world.kind("EndpointSlice", namespace).filter(of).collect()
}

/// Ready addresses at a port: three, and how many more. What is not ready is not counted, but still tells that the list is full.
fn endpoints_of(slices: &[&Value], name: &str) -> String {
    const SHOWN: usize = 3;
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let (mut shown, mut more, mut count) = (Vec::new(), false, 0);
    let mut visit = |endpoint: &Value, port: Option<String>| {
        more |= shown.len() == SHOWN;
        if endpoint.has("conditions.ready") && !endpoint.flag("conditions.ready") {
            return;
        }
        if !more {
            let address = endpoint.list("addresses").first().and_then(Value::as_str).unwrap_or_default();
            shown.push(port.map_or_else(|| address.to_owned(), |port| host_and_port(address, &port)));
        }
        count += 1;
    };
    for slice in slices {
        let endpoints = slice.list("endpoints");
        if slice.list("ports").is_empty() {
            endpoints.iter().for_each(|endpoint| visit(endpoint, None));
        }
        for port in slice.list("ports").iter().filter(|port| port.text("name") == name) {
            endpoints.iter().for_each(|endpoint| visit(endpoint, Some(port.plain("port"))));
        }
    }
    if more { format!("{} + {} more...", shown.join(","), count - SHOWN) } else { shown.join(",") }
}

pub fn endpoints(endpoints: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", endpoints.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", endpoints.text("metadata.namespace"));
    page.labels_and_annotations(endpoints);
    page.line(0, "Subsets:");
    for subset in endpoints.list("subsets") {
        for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let all = subset.list(field).iter().map(|address| address.text("ip")).collect::<Vec<_>>().join(",");
            line!(page, 1, "{title}:\t{}", or_none(&all));
        }
        let ports = subset.list("ports");
        if !ports.is_empty() {
            page.line(1, "Ports:");
            page.line(2, "Name\tPort\tProtocol");
            page.line(2, "----\t----\t--------");
        }
        for port in ports {
            line!(page, 2, "{}\t{}\t{}", or_unset(port.text("name")), port.int("port"), port.text("protocol"));
        }
        page.line(0, "");
    }
    page.events(endpoints, world);
}

pub fn ingress(ingress: &Value, world: &World, page: &mut Page) {
    let spec = ingress.at("spec");
    let namespace = ingress.text("metadata.namespace");
    line!(page, 0, "Name:\t{}", ingress.text("metadata.name"));
    page.labels("Labels", ingress.at("metadata.labels"));
    line!(page, 0, "Namespace:\t{namespace}");
    line!(page, 0, "Address:\t{}", ingress_addresses(ingress.list("status.loadBalancer.ingress")).join(","));
    line!(page, 0, "Ingress Class:\t{}", or_none(spec.text("ingressClassName")));
    if spec.has("defaultBackend") {
        line!(page, 0, "Default backend:\t{}", backend(spec.at("defaultBackend"), namespace, world));
    } else {
        page.line(0, "Default backend:\t<default>");
    }
    let tls = spec.list("tls");
    if !tls.is_empty() {
        page.line(0, "TLS:");
    }
    for entry in tls {
        let hosts = strings(entry.list("hosts")).join(",");
        match entry.text("secretName") {
            "" => line!(page, 1, "SNI routes {hosts}"),
            secret => line!(page, 1, "{secret} terminates {hosts}"),
        }
    }
    page.line(0, "Rules:");
    page.line(1, "Host\tPath\tBackends");
    page.line(1, "----\t----\t--------");
    let rules = spec.list("rules");
    for rule in rules.iter().filter(|rule| rule.has("http")) {
        line!(page, 1, "{}\t", if rule.text("host").is_empty() { "*" } else { rule.text("host") });
        for path in rule.list("http.paths") {
            line!(page, 2, "\t{} \t{}", path.text("path"), backend(path.at("backend"), namespace, world));
        }
    }
    if rules.is_empty() {
        let target = if spec.has("defaultBackend") { backend(spec.at("defaultBackend"), namespace, world) } else { "<default>".to_owned() };
        line!(page, 1, "*\t*\t{target}");
    }
    page.annotations("Annotations", ingress.at("metadata.annotations"));
    page.events(ingress, world);
}

/// `web:80 (10.0.0.1:8080)`: a service's port and what is behind it.
fn backend(backend: &Value, namespace: &str, world: &World) -> String {
    if backend.has("resource") {
        let resource = backend.at("resource");
        return format!("APIGroup: {}, Kind: {}, Name: {}", resource.text("apiGroup"), resource.text("kind"), resource.text("name"));
    }
    let name = backend.text("service.name");
    let by_name = backend.text("service.port.name");
    let number = backend.int("service.port.number");
    let shown = if by_name.is_empty() { format!("{name}:{number}") } else { format!("{name}:{by_name}") };
    let Some(service) = world.named("Service", namespace, name) else {
        return format!("{shown} (<error: services \"{name}\" not found>)");
    };
    let is_meant = |port: &&Value| if by_name.is_empty() { port.int("port") == number } else { port.text("name") == by_name };
    let port = service.list("spec.ports").iter().find(is_meant).map_or("", |port| port.text("name"));
    format!("{shown} ({})", endpoints_of(&slices(world, namespace, name), port))
}
