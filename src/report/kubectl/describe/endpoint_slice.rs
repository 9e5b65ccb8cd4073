//! The page of an EndpointSlice.

use serde_json::Value;

use super::super::World;
use super::super::columns::network::strings;
use super::super::look::{Look, or_unset};
use super::{Page, line};

pub fn endpoint_slice(slice: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", slice.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", slice.text("metadata.namespace"));
    page.labels_and_annotations(slice);
    line!(page, 0, "AddressType:\t{}", slice.text("addressType"));
    let ports = slice.list("ports");
    if ports.is_empty() {
        page.line(0, "Ports: <unset>");
    } else {
        page.line(0, "Ports:");
        page.line(1, "Name\tPort\tProtocol");
        page.line(1, "----\t----\t--------");
    }
    for port in ports {
        let number = port.plain("port");
        line!(page, 1, "{}\t{}\t{}", or_unset(port.text("name")), or_unset(&number), port.text("protocol"));
    }
    let endpoints = slice.list("endpoints");
    page.line(0, if endpoints.is_empty() { "Endpoints: <none>" } else { "Endpoints:" });
    for endpoint in endpoints {
        line!(page, 1, "- Addresses:\t{}", strings(endpoint.list("addresses")).join(","));
        page.line(2, "Conditions:");
        line!(page, 3, "Ready:\t{}", or_unset(&endpoint.plain("conditions.ready")));
        line!(page, 2, "Hostname:\t{}", or_unset(endpoint.text("hostname")));
        if endpoint.has("targetRef") {
            line!(page, 2, "TargetRef:\t{}/{}", endpoint.text("targetRef.kind"), endpoint.text("targetRef.name"));
        }
        line!(page, 2, "NodeName:\t{}", or_unset(endpoint.text("nodeName")));
        line!(page, 2, "Zone:\t{}", or_unset(endpoint.text("zone")));
    }
    page.events(slice, world);
}
