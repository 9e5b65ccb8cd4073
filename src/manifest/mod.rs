//! Floor 2: Kubernetes YAML/JSON to `objects`.
