//! Volumes of pods and templates, and sources of persistent volumes.

use serde_json::Value;

use super::super::look::{Look, or_unset, plain};
use super::{Page, line};

pub fn volumes(page: &mut Page, margin: &str, volumes: &[Value]) {
    if volumes.is_empty() {
        line!(page, 0, "{margin}Volumes:\t<none>");
        return;
    }
    line!(page, 0, "{margin}Volumes:");
    for volume in volumes {
        let indent = if margin.is_empty() { "" } else { " " };
        line!(page, 1, "{indent}{}:", volume.text("name"));
        source(page, volume);
    }
}

/// What a volume is made of; a persistent volume's `spec` has the same fields.
pub fn source(page: &mut Page, volume: &Value) {
    let of = |field: &str| volume.at(field);
    if volume.has("hostPath") {
        page.line(2, "Type:\tHostPath (bare host directory volume)");
        line!(page, 2, "Path:\t{}", of("hostPath").text("path"));
        line!(page, 2, "HostPathType:\t{}", of("hostPath").text("type"));
    } else if volume.has("emptyDir") {
        page.line(2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)");
        line!(page, 2, "Medium:\t{}", of("emptyDir").text("medium"));
        let limit = of("emptyDir").plain("sizeLimit");
        line!(page, 2, "SizeLimit:\t{}", if limit == "0" { "<unset>" } else { or_unset(&limit) });
    } else if volume.has("configMap") {
        page.line(2, "Type:\tConfigMap (a volume populated by a ConfigMap)");
        line!(page, 2, "Name:\t{}", of("configMap").text("name"));
        line!(page, 2, "Optional:\t{}", of("configMap").flag("optional"));
    } else if volume.has("secret") {
        page.line(2, "Type:\tSecret (a volume populated by a Secret)");
        line!(page, 2, "SecretName:\t{}", of("secret").text("secretName"));
        line!(page, 2, "Optional:\t{}", of("secret").flag("optional"));
    } else if volume.has("persistentVolumeClaim") {
        let claim = of("persistentVolumeClaim");
        page.line(2, "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)");
        line!(page, 2, "ClaimName:\t{}", claim.text("claimName"));
        line!(page, 2, "ReadOnly:\t{}", claim.flag("readOnly"));
    } else if volume.has("projected") {
        projected(page, of("projected").list("sources"));
    } else if volume.has("downwardAPI") {
        page.line(2, "Type:\tDownwardAPI (a volume populated by information about the pod)");
        page.line(2, "Items:");
        for item in of("downwardAPI").list("items") {
            if item.has("fieldRef") {
                line!(page, 3, "{} -> {}", item.text("fieldRef.fieldPath"), item.text("path"));
            }
            if item.has("resourceFieldRef") {
                line!(page, 3, "{} -> {}", item.text("resourceFieldRef.resource"), item.text("path"));
            }
        }
    } else if volume.has("nfs") {
        page.line(2, "Type:\tNFS (an NFS mount that lasts the lifetime of a pod)");
        line!(page, 2, "Server:\t{}", of("nfs").text("server"));
        line!(page, 2, "Path:\t{}", of("nfs").text("path"));
        line!(page, 2, "ReadOnly:\t{}", of("nfs").flag("readOnly"));
    } else if volume.has("local") {
        page.line(2, "Type:\tLocalVolume (a persistent volume backed by local storage on a node)");
        line!(page, 2, "Path:\t{}", of("local").text("path"));
    } else if volume.has("ephemeral") {
        ephemeral(page, of("ephemeral").at("volumeClaimTemplate"));
    } else if volume.has("csi") {
        csi(page, of("csi"));
    } else {
        page.line(2, "<unknown>");
    }
}

fn projected(page: &mut Page, sources: &[Value]) {
    page.line(2, "Type:\tProjected (a volume that contains injected data from multiple sources)");
    // kubectl prints a pointer: nothing where the field is absent.
    let optional = |source: &Value| if source.has("optional") { source.plain("optional") } else { "<nil>".to_owned() };
    for source in sources {
        if source.has("secret") {
            let secret = source.at("secret");
            line!(page, 2, "SecretName:\t{}", secret.text("name"));
            line!(page, 2, "SecretOptionalName:\t{}", optional(secret));
        } else if source.has("downwardAPI") {
            page.line(2, "DownwardAPI:\ttrue");
        } else if source.has("configMap") {
            let map = source.at("configMap");
            line!(page, 2, "ConfigMapName:\t{}", map.text("name"));
            line!(page, 2, "ConfigMapOptional:\t{}", optional(map));
        } else if source.has("serviceAccountToken") {
            line!(page, 2, "TokenExpirationSeconds:\t{}", source.int("serviceAccountToken.expirationSeconds"));
        }
    }
}

fn ephemeral(page: &mut Page, claim: &Value) {
    page.line(2, "Type:\tEphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)");
    line!(page, 2, "StorageClass:\t{}", claim.text("spec.storageClassName"));
    line!(page, 2, "Volume:\t{}", claim.text("spec.volumeName"));
    page.labels("    Labels", claim.at("metadata.labels"));
    page.annotations("    Annotations", claim.at("metadata.annotations"));
    line!(page, 2, "Capacity:\t{}", claim.plain("spec.resources.requests.storage"));
    line!(page, 2, "Access Modes:\t{}", super::super::look::access_modes(claim.list("spec.accessModes")));
    line!(page, 2, "VolumeMode:\t{}", claim.text("spec.volumeMode"));
}

fn csi(page: &mut Page, csi: &Value) {
    page.line(2, "Type:\tCSI (a Container Storage Interface (CSI) volume source)");
    line!(page, 2, "Driver:\t{}", csi.text("driver"));
    line!(page, 2, "FSType:\t{}", csi.text("fsType"));
    if csi.has("volumeHandle") {
        line!(page, 2, "VolumeHandle:\t{}", csi.text("volumeHandle"));
    }
    line!(page, 2, "ReadOnly:\t{}", csi.flag("readOnly"));
    let attributes = csi.pairs("volumeAttributes");
    if attributes.is_empty() {
        page.line(2, "VolumeAttributes:\t<none>");
        return;
    }
    for (number, (key, value)) in attributes.into_iter().enumerate() {
        let title = if number == 0 { "VolumeAttributes:" } else { "" };
        line!(page, 2, "{title}\t{key}={}", plain(value));
    }
}
