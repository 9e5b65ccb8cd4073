//! The kinds of Kubernetes 1.34's API that a manifest may hold: the modelled ones are [`Kind`]; of the others only the name is known.

/// Kinds that are accepted with a warning and have no effect.
pub const NOT_MODELLED: [&str; 41] = [
    "APIService",
    "Binding",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "DeviceClass",
    "Endpoints",
    "Event",
    "FlowSchema",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "Ingress",
    "IngressClass",
    "Job",
    "LimitRange",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "PodTemplate",
    "PriorityLevelConfiguration",
    "ReplicationController",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Secret",
    "ServiceAccount",
    "ServiceCIDR",
    "StatefulSet",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Every name that is known, for suggestions.
pub fn known() -> impl Iterator<Item = &'static str> {
    crate::objects::Kind::ALL.into_iter().map(crate::objects::Kind::name).chain(NOT_MODELLED).chain(["List"])
}
