use super::*;
use crate::base::Name;
use crate::controllers::adapter::Adapter;
use crate::controllers::replicaset::ReplicaSetController;
use crate::controllers::testing::World;
use crate::objects::workload::{DeploymentSpec, DeploymentStrategy, RollingUpdate};
use crate::objects::{Container, IntOrPercent, LabelSelector, Labels, Meta, PodSpec, PodTemplate, Shared};

fn web() -> Key {
    Key::new(Kind::Deployment, "default", "web")
}

fn template(image: &str) -> PodTemplate {
    let labels: Labels = [(Name::new("app"), Name::new("web"))].into_iter().collect();
    let container = Container { name: "main".into(), image: image.into(), ..Container::default() };
    let mut template =
        PodTemplate { spec: Shared::new(PodSpec { containers: vec![container], ..PodSpec::default() }), ..PodTemplate::default() };
    template.meta.labels = Shared::new(labels);
    template
}

fn deployment(replicas: u64) -> Deployment {
    let template = template("v1");
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        selector: Shared::new(LabelSelector::of((*template.meta.labels).clone())),
        template,
        progress_deadline_seconds: Some(600),
        revision_history_limit: Some(10),
        ..DeploymentSpec::default()
    };
    Deployment { meta: Meta::named("default", "web"), spec, ..Deployment::default() }
}

/// A cluster where pods become ready when the test says so and go as soon as they are told.
fn world(deployment: Deployment) -> World {
    let mut world = World::new(vec![Adapter::boxed(DeploymentController::new(5)), Adapter::boxed(ReplicaSetController::new(5))]);
    world.create(Object::Deployment(deployment)).unwrap();
    world.settle();
    world
}

fn edit(world: &mut World, change: impl FnOnce(&mut Deployment)) {
    world.change(&web(), |object| match object {
        Object::Deployment(deployment) => {
            change(deployment);
            deployment.meta.generation += 1;
        }
        other => panic!("{} is no Deployment", other.key()),
    });
    world.settle();
}

fn sets(world: &World) -> Vec<ReplicaSet> {
    world.cache.list(Kind::ReplicaSet).filter_map(|(_, stored)| stored.object.as_replica_set().cloned()).collect()
}
fn sizes(world: &World) -> Vec<u64> {
    sets(world).iter().map(scaling::spec_replicas).collect()
}
fn status_of(world: &World) -> DeploymentStatus {
    world.cache.deployment(&web()).unwrap().status.clone()
}

/// Makes one pod after the other ready, and returns the most replicas wanted and the fewest available on the way.
fn roll_out(world: &mut World) -> (u64, u64) {
    let (mut most, mut fewest) = (0, u64::MAX);
    loop {
        world.now += Duration::from_secs(1);
        world.settle();
        most = most.max(sizes(world).iter().sum());
        let ready = world.pods().iter().filter(|(_, pod)| pod.is_ready() && pod.is_active()).count() as u64;
        fewest = fewest.min(ready);
        let Some((next, _)) = world.pods().into_iter().find(|(_, pod)| !pod.is_ready()) else { return (most, fewest) };
        world.set_ready(&next, true);
    }
}

#[test]
fn a_new_deployment_gets_a_set_and_its_pods() {
    let mut world = world(deployment(10));
    roll_out(&mut world);
    let set = &sets(&world)[0];
    let hash = set.meta.label("pod-template-hash").unwrap();
    assert_eq!(*set.meta.name, *format!("web-{hash}"));
    assert_eq!(set.meta.annotation("deployment.kubernetes.io/revision").map(Name::as_str), Some("1"));
    assert_eq!(set.meta.annotation("deployment.kubernetes.io/desired-replicas").map(Name::as_str), Some("10"));
    assert_eq!(set.meta.annotation("deployment.kubernetes.io/max-replicas").map(Name::as_str), Some("13"));
    let status = status_of(&world);
    assert_eq!((status.replicas, status.updated_replicas, status.available_replicas), (10, 10, 10));
    assert!(status.conditions.is_true("Available"));
    assert_eq!(status.conditions.get("Progressing").unwrap().reason, "NewReplicaSetAvailable");
    // The revision goes with the status, in the same write.
    assert!(!world.requests.iter().any(|(_, verb)| matches!(verb, Verb::Patch { .. })), "{:?}", world.requests);
    // The spec of the template is shared by all pods.
    assert!(world.pods().iter().all(|(_, pod)| pod.spec.ptr_eq(&set.spec.template.spec)));
}

#[test]
fn a_rolling_update_of_10_keeps_8_available_and_wants_at_most_13() {
    let mut world = world(deployment(10));
    roll_out(&mut world);
    world.now += Duration::from_secs(1);
    edit(&mut world, |deployment| deployment.spec.template = template("v2"));
    let (most, fewest) = roll_out(&mut world);
    assert_eq!((most, fewest), (13, 8));
    let mut sizes = sizes(&world);
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 10]);
    let revision = world.cache.deployment(&web()).unwrap().meta.annotation("deployment.kubernetes.io/revision").cloned();
    assert_eq!(revision, Some("2".into()));
}

/// The status of a ReplicaSet is late when its controller waits for its client's limit.
#[test]
fn an_old_set_that_still_shows_pods_which_it_no_longer_wants_is_not_scaled_down_for_them_again() {
    let mut world = world(deployment(10));
    roll_out(&mut world);
    world.now += Duration::from_secs(1);
    edit(&mut world, |deployment| deployment.spec.template = template("v2"));
    // (wanted, shown as available) of the old and of the new set.
    let scaled = |old: (u64, u64), new: (u64, u64)| -> Vec<u64> {
        let mut view = View { deployment: world.cache.get(&web()).unwrap().clone(), sets: Vec::new() };
        for mut set in sets(&world) {
            let (wanted, available) = if set.spec.template.spec.containers[0].image == "v1" { old } else { new };
            set.spec.replicas = Some(wanted);
            set.status.available_replicas = available;
            let stored = world.cache.get(&Key::new(Kind::ReplicaSet, "default", &set.meta.name)).unwrap().clone();
            view.sets.push(Stored { object: Arc::new(set.into()), ..stored });
        }
        scaling::rolling(&view).into_iter().map(|(_, replicas)| replicas).collect()
    };
    assert_eq!(scaled((7, 7), (6, 2)), [6], "nine are available, eight must be");
    assert_eq!(scaled((7, 8), (6, 2)), [0; 0], "the tenth that it seems to have is being deleted");
    assert_eq!(scaled((7, 8), (5, 2)), [6], "the new one may grow meanwhile");
}

#[test]
fn surge_and_unavailability_are_rounded_apart_and_never_both_zero() {
    let cases = [("25%", "25%", 10, (3, 2)), ("0", "0%", 10, (0, 1)), ("10%", "10%", 1, (1, 0)), ("0%", "10%", 5, (0, 1))];
    for (surge, unavailable, replicas, wanted) in cases {
        let mut deployment = deployment(replicas);
        let parse = |text: &str| text.parse().map_or(IntOrPercent::String(text.into()), IntOrPercent::Int);
        let rolling = RollingUpdate { max_surge: Some(parse(surge)), max_unavailable: Some(parse(unavailable)) };
        deployment.spec.strategy = DeploymentStrategy { rolling_update: Some(rolling), ..DeploymentStrategy::default() };
        assert_eq!(scaling::fenceposts(&deployment), wanted, "{surge} {unavailable} of {replicas}");
    }
}

#[test]
fn a_bad_rollout_stops_with_8_old_and_5_new_pods_and_is_reported_after_its_deadline() {
    let mut world = world(deployment(10));
    edit(&mut world, |deployment| deployment.spec.progress_deadline_seconds = Some(60));
    roll_out(&mut world);
    world.now += Duration::from_secs(1);
    edit(&mut world, |deployment| deployment.spec.template = template("missing"));
    let mut stuck = sizes(&world);
    stuck.sort_unstable();
    assert_eq!(stuck, [5, 8]);
    let begun = world.now;
    let reason = |world: &World| status_of(world).conditions.get("Progressing").unwrap().reason.clone();
    world.run_until(begun + Duration::from_secs(60));
    assert_eq!(reason(&world), "ReplicaSetUpdated");
    world.run_until(begun + Duration::from_secs(63));
    assert_eq!(reason(&world), "ProgressDeadlineExceeded");
    // An undo takes the bad set to 0 at once, and its revision is the newest.
    edit(&mut world, |deployment| deployment.spec.template = template("v1"));
    roll_out(&mut world);
    let (good, bad): (Vec<_>, Vec<_>) = sets(&world).into_iter().partition(|set| set.spec.template.spec.containers[0].image == "v1");
    assert_eq!((good[0].spec.replicas, bad[0].spec.replicas), (Some(10), Some(0)));
    assert_eq!(good[0].meta.annotation("deployment.kubernetes.io/revision").map(Name::as_str), Some("3"));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let mut world = world(deployment(10));
    roll_out(&mut world);
    world.now += Duration::from_secs(1);
    edit(&mut world, |deployment| deployment.spec.template = template("missing"));
    edit(&mut world, |deployment| deployment.spec.replicas = Some(20));
    // 8 and 5 of 13, scaled to 20 + 5: 8 * 25 / 13 = 15.4, 5 * 25 / 13 = 9.6.
    let mut sizes = sizes(&world);
    sizes.sort_unstable();
    assert_eq!(sizes, [10, 15]);
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut recreated = deployment(3);
    recreated.spec.strategy.kind = StrategyKind::Recreate;
    let mut world = world(recreated);
    for (key, _) in world.pods() {
        world.change_pod(&key, |pod| pod.node = Some("node-1".into()));
        world.set_ready(&key, true);
    }
    world.settle();
    edit(&mut world, |deployment| deployment.spec.template = template("v2"));
    // The old pods are terminating: nothing new yet.
    assert!(world.pods().iter().all(|(_, pod)| pod.meta.is_deleting()) && sets(&world).len() == 1);
    let old = world.pods();
    for (key, _) in &old[..2] {
        world.store(key, None);
        world.settle();
    }
    assert_eq!(sets(&world).len(), 1);
    world.store(&old[2].0, None);
    world.settle();
    assert_eq!((sets(&world).len(), world.pods().len()), (2, 3));
}

#[test]
fn a_paused_deployment_does_not_roll_but_scales() {
    let mut world = world(deployment(2));
    roll_out(&mut world);
    edit(&mut world, |deployment| deployment.spec.paused = true);
    edit(&mut world, |deployment| deployment.spec.template = template("v2"));
    assert_eq!(sizes(&world), [2]);
    edit(&mut world, |deployment| deployment.spec.replicas = Some(4));
    assert_eq!(sizes(&world), [4]);
    assert_eq!(status_of(&world).conditions.get("Progressing").unwrap().reason, "DeploymentPaused");
}

#[test]
fn old_sets_beyond_the_history_limit_go_lowest_revision_first() {
    let mut limited = deployment(1);
    limited.spec.revision_history_limit = Some(1);
    let mut world = world(limited);
    roll_out(&mut world);
    for image in ["v2", "v3", "v4"] {
        world.now += Duration::from_secs(1);
        edit(&mut world, |deployment| deployment.spec.template = template(image));
        roll_out(&mut world);
    }
    let images: Vec<String> = sets(&world).iter().map(|set| set.spec.template.spec.containers[0].image.to_string()).collect();
    assert_eq!(images.len(), 2);
    assert!(images.contains(&"v3".to_owned()) && images.contains(&"v4".to_owned()), "{images:?}");
}
