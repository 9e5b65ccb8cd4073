//! Containers, of pods and of pod templates; and the template itself.

use serde_json::Value;

use super::super::look::{Look, or_none, plain};
use super::{Page, date, go_list, line, title_case, volume};

/// The containers of a list, with their statuses if they are those of a pod. `margin` is that of the page's section: two blanks in a
/// template.
pub fn containers(page: &mut Page, title: &str, margin: &str, containers: &[Value], statuses: Option<&[Value]>, pod: Option<&Value>) {
    if containers.is_empty() {
        line!(page, 0, "{margin}{title}: <none>");
    } else {
        line!(page, 0, "{margin}{title}:");
    }
    for container in containers {
        let name = container.text("name");
        let indent = if margin.is_empty() { "" } else { " " };
        line!(page, 1, "{indent}{name}:");
        let status = statuses.and_then(|statuses| statuses.iter().find(|status| status.text("name") == name));
        basics(page, container, status);
        commands(page, "Command", container.list("command"));
        commands(page, "Args", container.list("args"));
        if let Some(status) = status {
            state(page, "State", status.at("state"));
            if status.has("lastState.terminated") {
                state(page, "Last State", status.at("lastState"));
            }
            line!(page, 2, "Ready:\t{}", title_case(status.flag("ready")));
            line!(page, 2, "Restart Count:\t{}", status.int("restartCount"));
        }
        amounts(page, "Limits", container.at("resources.limits"));
        amounts(page, "Requests", container.at("resources.requests"));
        for (title, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
            if container.has(field) {
                line!(page, 2, "{title}:\t{}", probe(container.at(field)));
            }
        }
        environment(page, container, pod);
        mounts(page, container);
    }
}

fn basics(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        line!(page, 2, "Container ID:\t{}", status.text("containerID"));
    }
    line!(page, 2, "Image:\t{}", container.text("image"));
    if let Some(status) = status {
        line!(page, 2, "Image ID:\t{}", status.text("imageID"));
    }
    let ports = container.list("ports");
    let protocol = |port: &Value| if port.text("protocol").is_empty() { "TCP".to_owned() } else { port.plain("protocol") };
    let all = |field: &str| ports.iter().map(|port| format!("{}/{}", port.int(field), protocol(port))).collect::<Vec<_>>().join(", ");
    for (title, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let plural = if ports.len() > 1 { "s" } else { "" };
        line!(page, 2, "{title}{plural}:\t{}", or_none(&all(field)));
    }
    let profile = container.at("securityContext.seccompProfile");
    if !profile.is_null() {
        line!(page, 2, "SeccompProfile:\t{}", profile.text("type"));
        if profile.text("type") == "Localhost" {
            line!(page, 2, "LocalhostProfile:\t{}", profile.text("localhostProfile"));
        }
    }
}

fn commands(page: &mut Page, title: &str, words: &[Value]) {
    if words.is_empty() {
        return;
    }
    line!(page, 2, "{title}:");
    for word in words {
        plain(word).split('\n').for_each(|text| page.line(3, text));
    }
}

fn state(page: &mut Page, title: &str, state: &Value) {
    if state.has("running") {
        line!(page, 2, "{title}:\tRunning");
        line!(page, 3, "Started:\t{}", date(state.at("running.startedAt")));
    } else if state.has("terminated") {
        let ended = state.at("terminated");
        line!(page, 2, "{title}:\tTerminated");
        if !ended.text("reason").is_empty() {
            line!(page, 3, "Reason:\t{}", ended.text("reason"));
        }
        if !ended.text("message").is_empty() {
            line!(page, 3, "Message:\t{}", ended.text("message"));
        }
        line!(page, 3, "Exit Code:\t{}", ended.int("exitCode"));
        if ended.int("signal") > 0 {
            line!(page, 3, "Signal:\t{}", ended.int("signal"));
        }
        line!(page, 3, "Started:\t{}", date(ended.at("startedAt")));
        line!(page, 3, "Finished:\t{}", date(ended.at("finishedAt")));
    } else {
        line!(page, 2, "{title}:\tWaiting");
        let reason = state.text("waiting.reason");
        if !reason.is_empty() {
            line!(page, 3, "Reason:\t{reason}");
        }
    }
}

fn amounts(page: &mut Page, title: &str, amounts: &Value) {
    let amounts = amounts.pairs("");
    if !amounts.is_empty() {
        line!(page, 2, "{title}:");
    }
    for (resource, amount) in amounts {
        line!(page, 3, "{resource}:\t{}", plain(amount));
    }
}

/// What a probe does and how often, in a line.
pub fn probe(probe: &Value) -> String {
    let or = |field: &str, default: i64| probe.at(field).as_i64().unwrap_or(default);
    let times = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        or("initialDelaySeconds", 0),
        or("timeoutSeconds", 1),
        or("periodSeconds", 10),
        or("successThreshold", 1),
        or("failureThreshold", 3)
    );
    let what = if probe.has("exec") {
        format!("exec {}", go_list(probe.list("exec.command")))
    } else if probe.has("httpGet") {
        let get = probe.at("httpGet");
        let scheme = if get.text("scheme").is_empty() { "http".to_owned() } else { get.text("scheme").to_lowercase() };
        let slash = if get.text("path").is_empty() || get.text("path").starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{}:{}{slash}{}", get.text("host"), get.plain("port"), get.text("path"))
    } else if probe.has("tcpSocket") {
        format!("tcp-socket {}:{}", probe.text("tcpSocket.host"), probe.plain("tcpSocket.port"))
    } else if probe.has("grpc") {
        format!("grpc <pod>:{} {}", probe.plain("grpc.port"), probe.text("grpc.service"))
    } else {
        return format!("unknown {times}");
    };
    format!("{what} {times}")
}

fn environment(page: &mut Page, container: &Value, pod: Option<&Value>) {
    let from = container.list("envFrom");
    if !from.is_empty() {
        page.line(2, "Environment Variables from:");
    }
    for source in from {
        let (kind, reference) =
            if source.has("configMapRef") { ("ConfigMap", source.at("configMapRef")) } else { ("Secret", source.at("secretRef")) };
        let prefix = source.text("prefix");
        let prefix = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
        line!(page, 3, "{}\t{kind}{prefix}\tOptional: {}", reference.text("name"), reference.flag("optional"));
    }
    let variables = container.list("env");
    page.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
    for variable in variables {
        let name = variable.text("name");
        if !variable.has("valueFrom") {
            for (number, text) in variable.plain("value").split('\n').enumerate() {
                if number == 0 { line!(page, 3, "{name}:\t{text}") } else { line!(page, 3, "\t{text}") }
            }
            continue;
        }
        let from = variable.at("valueFrom");
        if from.has("fieldRef") {
            let path = from.text("fieldRef.fieldPath");
            let value = pod.map(|pod| field_of(pod, path)).unwrap_or_default();
            let version = if from.text("fieldRef.apiVersion").is_empty() { "v1" } else { from.text("fieldRef.apiVersion") };
            line!(page, 3, "{name}:\t{value} ({version}:{path})");
        } else if from.has("resourceFieldRef") {
            let resource = from.text("resourceFieldRef.resource");
            let value = resource_field(container, resource);
            line!(page, 3, "{name}:\t{value} ({resource})");
        } else if from.has("secretKeyRef") {
            let key = from.at("secretKeyRef");
            let (entry, of, optional) = (key.text("key"), key.text("name"), key.flag("optional"));
            line!(page, 3, "{name}:\t<set to the key '{entry}' in secret '{of}'>\tOptional: {optional}");
        } else {
            let key = from.at("configMapKeyRef");
            let (entry, of, optional) = (key.text("key"), key.text("name"), key.flag("optional"));
            line!(page, 3, "{name}:\t<set to the key '{entry}' of config map '{of}'>\tOptional: {optional}");
        }
    }
}

/// A field of a pod that a variable names: `metadata.name`, `metadata.labels['app']`. A template has no such values.
fn field_of(pod: &Value, path: &str) -> String {
    match path.split_once("['") {
        Some((map, key)) => pod.at(map).get(key.trim_end_matches("']")).map(plain).unwrap_or_default(),
        None => pod.plain(path),
    }
}

fn resource_field(container: &Value, path: &str) -> String {
    let (side, resource) = path.split_once('.').unwrap_or(("", path));
    let amount = container.at("resources").get(side).and_then(|amounts| amounts.get(resource)).map(plain);
    match amount {
        Some(amount) => amount,
        // What a container has no limit of, its node limits.
        None if side == "limits" => "node allocatable".to_owned(),
        None => "0".to_owned(),
    }
}

fn mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = container.list("volumeMounts").iter().collect();
    mounts.sort_by_key(|mount| mount.text("mountPath"));
    page.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
    for mount in mounts {
        let access = if mount.flag("readOnly") { "ro" } else { "rw" };
        let below = mount.text("subPath");
        let below = if below.is_empty() { String::new() } else { format!(",path={below:?}") };
        line!(page, 3, "{} from {} ({access}{below})", mount.text("mountPath"), mount.text("name"));
    }
    let devices = container.list("volumeDevices");
    if !devices.is_empty() {
        page.line(2, "Devices:");
    }
    for device in devices {
        line!(page, 3, "{} from {}", device.text("devicePath"), device.text("name"));
    }
}

/// A pod template, as every workload's page shows it.
pub fn template(page: &mut Page, template: &Value) {
    page.line(0, "Pod Template:");
    page.labels("  Labels", template.at("metadata.labels"));
    if !template.pairs("metadata.annotations").is_empty() {
        page.annotations("  Annotations", template.at("metadata.annotations"));
    }
    let spec = template.at("spec");
    if !spec.text("serviceAccountName").is_empty() {
        line!(page, 0, "  Service Account:\t{}", spec.text("serviceAccountName"));
    }
    if !spec.list("initContainers").is_empty() {
        containers(page, "Init Containers", "  ", spec.list("initContainers"), None, None);
    }
    containers(page, "Containers", "  ", spec.list("containers"), None, None);
    volume::volumes(page, "  ", spec.list("volumes"));
    spread_constraints(page, "  ", spec.list("topologySpreadConstraints"));
    if !spec.text("priorityClassName").is_empty() {
        line!(page, 0, "  Priority Class Name:\t{}", spec.text("priorityClassName"));
    }
    page.labels("  Node-Selectors", spec.at("nodeSelector"));
    page.several("  Tolerations", tolerations(spec));
}

/// `dedicated=gpu:NoSchedule`, `node.kubernetes.io/not-ready:NoExecute op=Exists for 300s`, by key.
pub fn tolerations(spec: &Value) -> Vec<String> {
    let mut all: Vec<&Value> = spec.list("tolerations").iter().collect();
    all.sort_by_key(|toleration| toleration.text("key"));
    let one = |toleration: &Value| {
        let (key, value, effect) = (toleration.text("key"), toleration.text("value"), toleration.text("effect"));
        let mut text = key.to_owned();
        if !value.is_empty() {
            text.push_str(&format!("={value}"));
        }
        if !effect.is_empty() {
            text.push_str(&format!(":{effect}"));
        }
        if toleration.text("operator") == "Exists" && value.is_empty() {
            text.push_str(if text.is_empty() { "op=Exists" } else { " op=Exists" });
        }
        if let Some(seconds) = toleration.at("tolerationSeconds").as_i64() {
            text.push_str(&format!(" for {seconds}s"));
        }
        text
    };
    all.into_iter().map(one).collect()
}

/// Nothing at all where there are none.
pub fn spread_constraints(page: &mut Page, margin: &str, constraints: &[Value]) {
    let mut all: Vec<&Value> = constraints.iter().collect();
    all.sort_by_key(|constraint| constraint.text("topologyKey"));
    let lines: Vec<String> = all
        .into_iter()
        .map(|constraint| {
            let mut text = format!(
                "{}:{} when max skew {} is exceeded",
                constraint.text("topologyKey"),
                constraint.text("whenUnsatisfiable"),
                constraint.int("maxSkew")
            );
            if constraint.has("labelSelector") {
                text.push_str(&format!(" for selector {}", super::super::look::selector(constraint.at("labelSelector"))));
            }
            text
        })
        .collect();
    if !lines.is_empty() {
        page.several(&format!("{margin}Topology Spread Constraints"), lines);
    }
}
