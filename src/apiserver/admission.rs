//! The admission plugins that change the course of things: NamespaceLifecycle, Priority, DefaultTolerationSeconds, TaintNodesByCondition,
//! StorageObjectInUseProtection, DefaultStorageClass
//! (apiserver `pkg/admission/plugin`, k/k `plugin/pkg/admission`). Webhooks, quotas, limit ranges and service accounts are not modelled.
//!
//! The pods of a template come with one shared spec and must leave with one: admitted specs are remembered by content.

use super::{Config, defaults};
use crate::base::{Map, Name, stable_hash};
use crate::objects::node::taints;
use crate::objects::scheduling::{PreemptionPolicy, TolerationOperator};
use crate::objects::validation::{self, Violation};
use crate::objects::volume::annotations::OLD_CLASS;
use crate::objects::{
    Key, Meta, Node, Object, PersistentVolumeClaim, PodSpec, PodTemplate, PriorityClass, Shared, StorageClass, Taint, TaintEffect,
    Toleration,
};
use crate::wire::ApiError;
use crate::wire::api::Reason;

/// Namespaces that every cluster has from the start (k/k `pkg/controlplane/controller/systemnamespaces`).
pub const INITIAL_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Those that may not be deleted (upstream `plugin/namespace/lifecycle`, immortal namespaces).
const IMMORTAL_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];
/// Classes that exist without an object, by name and value (k/k `pkg/apis/scheduling/v1/helpers.go`).
const BUILT_IN_CLASSES: [(&str, i64); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
/// How many admitted specs are remembered before the memory is emptied. A cluster has far fewer templates.
const MEMO_LIMIT: usize = 4096;

/// What became of a spec.
#[derive(Clone)]
pub struct Admitted {
    pub spec: Shared<PodSpec>,
    pub violations: Vec<Violation>,
}

/// StorageObjectInUseProtection: what is in use is kept until it is not.
pub fn protect(meta: &mut Meta, finalizer: &'static str) {
    if !meta.finalizers.iter().any(|present| *present == *finalizer) {
        meta.finalizers.push(finalizer.into());
    }
}

/// DefaultStorageClass: a claim that says nothing of its class gets the newest default one, if there is one.
pub fn give_class<'a>(claim: &mut PersistentVolumeClaim, classes: impl Iterator<Item = &'a StorageClass>) {
    if claim.spec.storage_class_name.is_none() && claim.meta.annotation(OLD_CLASS).is_none() {
        claim.spec.storage_class_name = StorageClass::default_of(classes).map(|class| class.meta.name.clone());
    }
}

/// Remembers admitted specs. See the module.
#[derive(Default)]
pub struct Specs {
    /// By the hash of what came in, the resolved priority, and whether it is a pod's or a template's.
    memo: Map<u64, (Shared<PodSpec>, Admitted)>,
}

/// What a priority class gives a pod.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Priority {
    pub class: Name,
    pub value: i64,
    pub preemption: PreemptionPolicy,
}

impl Specs {
    /// Defaults, priority and tolerations of a new pod's spec, and what is wrong with it.
    pub fn admit_pod(&mut self, config: &Config, spec: &Shared<PodSpec>, priority: &Priority) -> Admitted {
        self.remember(stable_hash(&(spec, priority, true)), spec, |admitted| {
            defaults::pod_spec(admitted, true);
            admitted.priority_class_name = priority.class.clone();
            admitted.priority = Some(priority.value);
            admitted.preemption_policy.get_or_insert(priority.preemption);
            let seconds = [
                (taints::NOT_READY, config.default_not_ready_toleration_seconds),
                (taints::UNREACHABLE, config.default_unreachable_toleration_seconds),
            ];
            for (taint, seconds) in seconds {
                tolerate(&mut admitted.tolerations, taint, seconds);
            }
            validation::validate_pod_spec(admitted, "spec")
        })
    }
    /// Defaults of a template, and what is wrong with its spec.
    pub fn admit_template(&mut self, template: &mut PodTemplate) -> Vec<Violation> {
        let admitted = self.remember(stable_hash(&(&template.spec, false)), &template.spec, |admitted| {
            defaults::pod_spec(admitted, false);
            validation::validate_pod_spec(admitted, "spec.template.spec")
        });
        template.spec = admitted.spec;
        admitted.violations
    }
    fn remember(&mut self, hash: u64, spec: &Shared<PodSpec>, admit: impl FnOnce(&mut PodSpec) -> Vec<Violation>) -> Admitted {
        if let Some((source, admitted)) = self.memo.get(&hash)
            && source == spec
        {
            return admitted.clone();
        }
        let mut changed = (**spec).clone();
        let violations = admit(&mut changed);
        let shared = if changed == **spec { spec.clone() } else { Shared::new(changed) };
        let admitted = Admitted { spec: shared, violations };
        if self.memo.len() >= MEMO_LIMIT {
            self.memo.clear();
        }
        self.memo.insert(hash, (spec.clone(), admitted.clone()));
        admitted
    }
}

/// DefaultTolerationSeconds: `seconds` of `taint` with `NoExecute`, unless some toleration speaks of it already.
fn tolerate(tolerations: &mut Vec<Toleration>, taint: &str, seconds: i64) {
    let speaks_of_it = |toleration: &Toleration| {
        (toleration.key.is_empty() || toleration.key == *taint) && toleration.effect.is_none_or(|effect| effect == TaintEffect::NoExecute)
    };
    if !tolerations.iter().any(speaks_of_it) {
        tolerations.push(Toleration {
            key: Name::new(taint),
            operator: Some(TolerationOperator::Exists),
            value: Name::default(),
            effect: Some(TaintEffect::NoExecute),
            toleration_seconds: Some(seconds),
        });
    }
}

/// The Priority plugin: the class's value, that of the global default without a class, else 0. 403 for an unknown class.
pub fn priority<'a>(
    pod: &Key,
    spec: &PodSpec,
    class: impl FnOnce(&Name) -> Option<&'a PriorityClass>,
    global_default: impl FnOnce() -> Option<&'a PriorityClass>,
) -> Result<Priority, ApiError> {
    let of_class = |class: &PriorityClass| Priority {
        class: class.meta.name.clone(),
        value: class.value,
        preemption: class.preemption_policy.unwrap_or_default(),
    };
    let name = &spec.priority_class_name;
    if name.is_empty() {
        let none = || Priority { class: Name::default(), value: 0, preemption: PreemptionPolicy::default() };
        return Ok(global_default().map_or_else(none, of_class));
    }
    if let Some((_, value)) = BUILT_IN_CLASSES.iter().find(|(built_in, _)| *name == **built_in) {
        return Ok(Priority { class: name.clone(), value: *value, preemption: PreemptionPolicy::default() });
    }
    class(name).map(of_class).ok_or_else(|| forbidden(pod, format!("no PriorityClass with name {name} was found")))
}

/// TaintNodesByCondition: a new node takes no pods before its conditions say that it may.
pub fn taint_new_node(node: &mut Node) {
    if node.taint(taints::NOT_READY, TaintEffect::NoSchedule).is_none() {
        let taint = Taint { key: Name::new(taints::NOT_READY), value: Name::default(), effect: TaintEffect::NoSchedule, time_added: None };
        node.spec.taints.push(taint);
    }
}

/// NamespaceLifecycle for a create: the namespace must exist and not be on its way out.
pub fn namespace_allows(key: &Key, namespace: Option<&Object>) -> Result<(), ApiError> {
    let name = key.namespace();
    let Some(namespace) = namespace.and_then(Object::as_namespace) else {
        return Err(ApiError::not_found(&Key::new(crate::objects::Kind::Namespace, "", name)));
    };
    if namespace.meta.is_deleting() || namespace.status.phase == "Terminating" {
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        return Err(ApiError { reason: Reason::NamespaceTerminating, ..forbidden(key, why) });
    }
    Ok(())
}

/// NamespaceLifecycle for a delete: some namespaces are for ever.
pub fn may_delete(key: &Key) -> Result<(), ApiError> {
    if key.kind() == crate::objects::Kind::Namespace && IMMORTAL_NAMESPACES.contains(&key.name()) {
        return Err(forbidden(key, "this namespace may not be deleted"));
    }
    Ok(())
}

/// `pods "web-1" is forbidden: why`
fn forbidden(key: &Key, why: impl std::fmt::Display) -> ApiError {
    ApiError::new(Reason::Forbidden, format!("{} \"{}\" is forbidden: {why}", key.kind().qualified_resource(), key.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Container, Meta, Namespace};

    fn web() -> Shared<PodSpec> {
        let container = Container { name: "main".into(), image: "x:1".into(), ..Container::default() };
        Shared::new(PodSpec { containers: vec![container], ..PodSpec::default() })
    }
    fn no_priority() -> Priority {
        Priority { class: Name::default(), value: 0, preemption: PreemptionPolicy::default() }
    }

    #[test]
    fn pods_of_a_template_keep_sharing_one_spec() {
        let mut specs = Specs::default();
        let first = specs.admit_pod(&Config::default(), &web(), &no_priority());
        let second = specs.admit_pod(&Config::default(), &web(), &no_priority());
        assert!(first.spec.ptr_eq(&second.spec));
        assert_eq!(first.violations, []);
        let high = Priority { class: "high".into(), value: 1000, ..no_priority() };
        assert_eq!(specs.admit_pod(&Config::default(), &web(), &high).spec.priority, Some(1000));
    }

    #[test]
    fn every_pod_tolerates_a_lost_node_for_300_seconds_unless_it_says_otherwise() {
        let mut specs = Specs::default();
        let admitted = specs.admit_pod(&Config::default(), &web(), &no_priority());
        let seconds: Vec<_> = admitted.spec.tolerations.iter().map(|it| (it.key.to_string(), it.toleration_seconds)).collect();
        assert_eq!(seconds, [(taints::NOT_READY.to_owned(), Some(300)), (taints::UNREACHABLE.to_owned(), Some(300))]);
        let mut own = web();
        own.update(|spec| spec.tolerations.push(Toleration { operator: Some(TolerationOperator::Exists), ..Toleration::default() }));
        assert_eq!(specs.admit_pod(&Config::default(), &own, &no_priority()).spec.tolerations.len(), 1, "tolerates all for ever");
    }

    #[test]
    fn an_unknown_priority_class_is_forbidden_in_the_servers_words() {
        let mut spec = (*web()).clone();
        let key = Key::pod("demo", "e");
        assert_eq!(priority(&key, &spec, |_| None, || None).unwrap().value, 0);
        spec.priority_class_name = "nosuch".into();
        let error = priority(&key, &spec, |_| None, || None).unwrap_err();
        assert_eq!(
            (error.reason, &*error.message),
            (Reason::Forbidden, "pods \"e\" is forbidden: no PriorityClass with name nosuch was found")
        );
        spec.priority_class_name = "system-node-critical".into();
        assert_eq!(priority(&key, &spec, |_| None, || None).unwrap().value, 2_000_001_000);
    }

    #[test]
    fn nothing_is_created_in_a_namespace_that_is_absent_or_terminating() {
        let key = Key::pod("doomed", "e");
        assert_eq!(namespace_allows(&key, None).unwrap_err().message, "namespaces \"doomed\" not found");
        let mut namespace = Namespace { meta: Meta::named("", "doomed"), ..Namespace::default() };
        assert_eq!(namespace_allows(&key, Some(&namespace.clone().into())), Ok(()));
        namespace.status.phase = "Terminating".into();
        let error = namespace_allows(&key, Some(&namespace.into())).unwrap_err();
        assert_eq!(
            (error.reason, &*error.message),
            (
                Reason::NamespaceTerminating,
                "pods \"e\" is forbidden: unable to create new content in namespace doomed because it is being terminated"
            )
        );
        let error = may_delete(&Key::new(crate::objects::Kind::Namespace, "", "default")).unwrap_err();
        assert_eq!(error.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
    }
}
